package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

// A command prints anything, in pieces of any size: what is kept of it is its first and
// its last part, and text that Postgres and a terminal can take.
func FuzzCommandOutput(f *testing.F) {
	f.Add([]byte(`{"ok":true}`), 3, 8)
	f.Add([]byte("\x1b[31mred\x1b[0m\x00\xff\r\nlast"), 1, 4)
	f.Add([]byte(strings.Repeat("ü", 100)), 7, 11)
	f.Add([]byte("\u202egnp.exe"), 2, 100)
	f.Add([]byte("no luck\n\x00"), 100, 100) // its last line is nothing that can be shown
	f.Fuzz(func(t *testing.T, output []byte, piece, limit int) {
		piece, limit = min(max(piece, 1), 1<<12), min(max(limit, 1), 1<<12)
		first, last := &head{limit: limit}, &tail{limit: limit}
		for rest := output; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			part := rest[:min(piece, len(rest))]
			for _, w := range []interface{ Write([]byte) (int, error) }{first, last} {
				n, err := w.Write(part)
				require.NoError(t, err)
				require.Equal(t, len(part), n)
			}
		}
		require.Equal(t, string(output[:min(limit, len(output))]), string(first.text))
		require.Equal(t, len(output) > limit, first.cut)
		said := last.String()
		require.LessOrEqual(t, len(said), limit)
		require.True(t, utf8.ValidString(said))
		require.False(t, strings.ContainsFunc(said, func(r rune) bool { return r != '\n' && r != '\t' && terminal.UnsafeRune(r) }))
		failed := newCommandError("ExitError", "exit status 7", last)
		require.NotEmpty(t, failed.Error())
		require.NotContains(t, failed.Error(), "\n")
	})
}

// What somebody types is understood or refused, and an error names what is allowed.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		`7`, `-7`, `0`, `9223372036854775808`, ` 7`, `{}`, `{"type":"fixed","delay":1}`, `{"Type":"fixed"}`, `{"delay":1e999}`,
		`null`, `[]`, `"`, "\x00", `{"a":{"b":[1,2]}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := parseID(text); err != nil {
			require.Equal(t, command.ExitUsage, command.ExitCode(err))
		} else {
			again, err := parseID(strconv.FormatInt(id, 10))
			require.NoError(t, err)
			require.Equal(t, id, again)
		}
		if retry, err := parseRetry(text); err != nil {
			require.Equal(t, command.ExitUsage, command.ExitCode(err))
		} else {
			require.NotNil(t, retry)
		}
		if data, err := readData(strings.NewReader(text), "-", "data"); err != nil {
			require.Equal(t, command.ExitUsage, command.ExitCode(err))
		} else {
			require.True(t, json.Valid(data))
		}
		for _, shown := range []string{terminal.Plain(text), terminal.Paragraph(terminal.Plain(text), 10, 2), terminal.EscapeUnsafe(text)} {
			require.False(t, strings.ContainsFunc(shown, func(r rune) bool { return r != '\n' && terminal.UnsafeRune(r) }), "%q", shown)
		}
	})
}
