package documents

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func runbook(t *testing.T) File {
	t.Helper()
	for _, file := range read(t) {
		if file.Path == "docs/runbook.md" {
			return file
		}
	}
	t.Fatal("there is no docs/runbook.md")
	return File{}
}

// agree compares what the source has with what the runbook explains.
func agree(t *testing.T, what string, source map[string]string, explained map[string]int) {
	t.Helper()
	require.Greater(t, len(source), 10, what)
	for text, place := range source {
		if explained[text] != 1 {
			t.Errorf("%s: docs/runbook.md has %d entries for the %s `%s`, and needs one", place, explained[text], what, text)
		}
	}
	for text := range explained {
		if source[text] == "" {
			t.Errorf("docs/runbook.md explains the %s `%s`, which no longer exists", what, text)
		}
	}
}

func TestTheRunbookExplainsEveryWarning(t *testing.T) {
	messages, err := LogMessages(repository)
	require.NoError(t, err)
	agree(t, "log message", messages, runbook(t).Entries("Log messages"))
}

func TestTheRunbookExplainsEveryHealthCode(t *testing.T) {
	codes, err := HealthCodes(repository)
	require.NoError(t, err)
	agree(t, "health code", codes, runbook(t).Entries("Health codes"))
}

func TestWarningsAreFoundHoweverTheyAreLogged(t *testing.T) {
	source := `package p

func f(err error) {
	log.Warn("plain", "error", err)
	w.log.With("queue", q).Error("with fields")
	slog.Default()
	w.logger().WarnContext(ctx, "with a context")
	log.LogAttrs(ctx, slog.LevelError, "with a level", attrs...)
	log.LogAttrs(ctx, slog.LevelInfo, "below")
	log.LogAttrs(ctx, levelOf(err), "at some level")
	log.Log(zap.WarnLevel, "as zap does")
	log.Info("nothing to do")
	level := slog.LevelDebug
	if err != nil {
		level = slog.LevelInfo
	}
	log.LogAttrs(ctx, level, "below in every case")
	t.Error("a test")
	c.Error(err)
	_ = err.Error()
}

func g() {
	level := slog.LevelInfo
	if bad {
		level = slog.LevelWarn
	}
	log.LogAttrs(ctx, level, "warn at times")
}
`
	found, err := LogMessages(fstest.MapFS{
		"p.go": {Data: []byte(source)}, "p_test.go": {Data: []byte("package p\nfunc h() { log.Warn(\"tested\") }\n")},
		"internal/lab/l.go": {Data: []byte("package l\nfunc h() { log.Warn(\"measured\") }\n")},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"plain": "p.go:4", "with fields": "p.go:5", "with a context": "p.go:7", "with a level": "p.go:8", "at some level": "p.go:10",
		"as zap does": "p.go:11", "warn at times": "p.go:28",
	}, found)
}

func TestAMessageThatIsMadeAtRunTimeIsAnError(t *testing.T) {
	_, err := LogMessages(fstest.MapFS{"p.go": {Data: []byte("package p\nfunc f() { log.Warn(text) }\n")}})
	require.EqualError(t, err, "p.go:2: the message of a log line has to be a constant")
}
