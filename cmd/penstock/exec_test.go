//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
)

// shellCommands runs sh -c script for every job.
func shellCommands(t *testing.T, script string, environ ...string) *commands {
	t.Helper()
	c := newCommands("/bin/sh", []string{"sh", "-c", script}, append(environ, "PATH="+os.Getenv("PATH")), zap.NewNop())
	t.Cleanup(c.close)
	return c
}

// lifeline is a FIFO that processes hold open: what reads it meets the end when the
// last of them is dead, and not before.
func lifeline(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lifeline")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	return path
}

// awaitAlive returns once someone holds the lifeline; awaitDead once nobody does.
func awaitAlive(t *testing.T, path string) (awaitDead func()) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	return func() {
		t.Helper()
		defer f.Close()
		require.NoError(t, f.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err := io.ReadAll(f)
		require.NoError(t, err, "somebody is still alive")
	}
}

func job() *penstock.Job[json.RawMessage] {
	return &penstock.Job[json.RawMessage]{ID: 7, Queue: "q", Name: "n", Data: json.RawMessage(`{}`)}
}

func TestExitCodesDecideWhatBecomesOfTheJob(t *testing.T) {
	for _, c := range []struct {
		name, script           string
		class, message, detail string
	}{
		{"a failure is the last line of stderr", "echo one >&2; echo two >&2; exit 3", "ExitError", "two", "one\ntwo\nexit status 3"},
		{"a silent failure is its exit status", "exit 7", "ExitError", "exit status 7", ""},
		{"65 is final", "echo bad data >&2; exit 65", "NonRetryable", "bad data", "bad data\nexit status 65"},
		{"a signal is named", "kill -KILL $$", "SignalError", "signal: killed", ""},
		{"what a terminal would obey is left out", `printf 'a\033[1mb\r\n\n' >&2; exit 1`, "ExitError", "a[1mb", "a[1mb\nexit status 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := shellCommands(t, c.script).handle(context.Background(), job())
			var failed *commandError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, commandError{c.class, c.message, c.detail}, *failed)
			require.Equal(t, c.class, penstock.ErrorClass(err))
			require.Equal(t, c.class != "NonRetryable", errors.Unwrap(err) == nil, "only 65 is wrapped in Dead")
		})
	}
}

func TestACommandThatReadsNothingOfItsDataSucceeds(t *testing.T) {
	big := job()
	big.Data = json.RawMessage(`"` + strings.Repeat("x", 1<<20-2) + `"`) // more than a pipe holds
	require.NoError(t, shellCommands(t, "exit 0").handle(context.Background(), big))
}

func TestACommandThatCannotStartIsAFailureToRetry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone")
	c := newCommands(path, []string{path}, nil, zap.NewNop())
	t.Cleanup(c.close)
	err := c.handle(context.Background(), job())
	require.Equal(t, "StartError", penstock.ErrorClass(err))
	require.ErrorContains(t, err, path)
}

func TestAStopEndsTheCommandAndAllItStarted(t *testing.T) {
	for _, c := range []struct {
		name, script string
	}{
		{"what ends on SIGTERM ends at once", `sleep 600 > "$LIFELINE" & wait`},
		{"what ignores SIGTERM is killed", `trap '' TERM; sleep 600 > "$LIFELINE" & wait; wait`},
		{"a leader that ends leaves nobody behind", `(trap '' TERM; sleep 600 > "$LIFELINE") & wait`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := lifeline(t)
			commands := shellCommands(t, c.script, "LIFELINE="+path)
			commands.grace = 100 * time.Millisecond
			ctx, cancel := context.WithCancelCause(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- commands.handle(ctx, job()) }()
			awaitDead := awaitAlive(t, path)
			cancel(penstock.ErrTimeout)
			awaitDead()
			require.Equal(t, "Stopped", penstock.ErrorClass(<-ended))
		})
	}
}

func TestNothingOutlivesACommandThatSucceeded(t *testing.T) {
	path := lifeline(t)
	ended := make(chan error, 1)
	commands := shellCommands(t, `sleep 600 > "$LIFELINE" & exec 3> "$LIFELINE"`, "LIFELINE="+path)
	go func() { ended <- commands.handle(context.Background(), job()) }()
	awaitAlive(t, path)()
	require.NoError(t, <-ended)
}

func TestAfterKillAllNothingRunsAndNothingStarts(t *testing.T) {
	path := lifeline(t)
	ended := make(chan error, 1)
	commands := shellCommands(t, `exec sleep 600 > "$LIFELINE"`, "LIFELINE="+path)
	go func() { ended <- commands.handle(context.Background(), job()) }()
	awaitDead := awaitAlive(t, path)
	commands.killAll()
	awaitDead()
	require.Equal(t, "SignalError", penstock.ErrorClass(<-ended))
	require.Equal(t, "StartError", penstock.ErrorClass(commands.handle(context.Background(), job())))
}

func TestAJobsEnvironmentReplacesTheOneOfAnOuterJob(t *testing.T) {
	kept := withoutJob([]string{"PATH=/bin", "PENSTOCK_JOB_ID=1", "PENSTOCK_TAGS=a", "PENSTOCK_LOG_LEVEL=warn"})
	require.Equal(t, []string{"PATH=/bin", "PENSTOCK_LOG_LEVEL=warn"}, kept)
}

func TestCapturesAreBounded(t *testing.T) {
	first, last := &head{limit: 5}, &tail{limit: 5}
	for _, piece := range []string{"ab", "cd", "", "efghijklmnopq", "r"} {
		n, err := io.WriteString(first, piece)
		require.NoError(t, err)
		require.Equal(t, len(piece), n)
		_, err = io.WriteString(last, piece)
		require.NoError(t, err)
		require.LessOrEqual(t, len(last.text), 10)
	}
	require.Equal(t, "abcde", string(first.text))
	require.True(t, first.cut)
	require.Equal(t, "nopqr", last.String())
}
