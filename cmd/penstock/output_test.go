package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestATableAlignsItsColumns(t *testing.T) {
	list := table{heads: []string{"N", "NAME", "SAID"}}
	list.add(number(7), text("a"), text("first"))
	list.add(number(1234), text("longer"), text("second"))
	var out strings.Builder
	require.NoError(t, list.write(&out, screen{}))
	require.Equal(t, "   N  NAME    SAID\n   7  a       first\n1234  longer  second\n", out.String())
}

func TestATableOnATerminalIsColouredAndCutAtItsEdge(t *testing.T) {
	list := table{heads: []string{"STATE", "SAID"}}
	list.add(state("dead"), text("something that is too long"))
	var out strings.Builder
	require.NoError(t, list.write(&out, screen{terminal: true, colour: true, width: 20}))
	require.Equal(t, "\x1b[1mSTATE\x1b[0m  \x1b[1mSAID\x1b[0m\n\x1b[31mdead\x1b[0m   something th…\n", out.String())
}

func TestTextFromDataCannotSteerATerminal(t *testing.T) {
	for _, c := range []struct {
		name, given, printed string
	}{
		{"an escape sequence loses its escape", "a\x1b[31mb", "a[31mb"},
		{"so does one in eight bits", "a\u009b31mb", "a31mb"},
		{"a carriage return cannot overwrite", "good\rbad", "goodbad"},
		{"lines become one", "one\ntwo\tthree", "one two three"},
		{"writing direction does not turn", "a\u202eb\u2066c", "abc"},
		{"a broken byte disappears", "a\xffb", "ab"},
		{"other languages stay", "größer 漢字", "größer 漢字"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.printed, plain(c.given)) })
	}
}

func TestJSONKeepsEveryValueAndSteersNoTerminal(t *testing.T) {
	var out strings.Builder
	value := map[string]string{"k": "a\x1b\u009b\u202e\x7f<é>"}
	require.NoError(t, writeJSON(&out, value))
	for _, r := range out.String() {
		require.True(t, r == '\n' || !unsafeRune(r), "%U", r)
	}
	require.JSONEq(t, `{"k":"a\u001b\u009b\u202e\u007f<é>"}`, out.String())
	require.Contains(t, out.String(), "<é>")
}

func TestMomentsForPeople(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"now is now", now, "just now"},
		{"clocks that differ by a second agree", now.Add(time.Second), "just now"},
		{"seconds", now.Add(-12 * time.Second), "12 s ago"},
		{"minutes are rounded down", now.Add(-3*time.Minute - 59*time.Second), "3 m ago"},
		{"hours", now.Add(-25 * time.Hour / 2), "12 h ago"},
		{"days", now.Add(-49 * time.Hour), "2 d ago"},
		{"what is to come", now.Add(90 * time.Second), "in 1 m"},
		{"no moment has no words", time.Time{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, ago(c.at, now)) })
	}
}

func TestDurationsAreWrittenAsFlagsReadThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Millisecond: "1.5s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h",
		90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 36 * time.Hour: "36h", 48 * time.Hour: "2d", 366 * 24 * time.Hour: "366d",
		10 * time.Second: "10s", 20 * time.Minute: "20m", time.Microsecond: "1µs",
	} {
		require.Equal(t, want, exact(d))
		var back wait
		require.NoError(t, back.Set(want))
		require.Equal(t, d, time.Duration(back))
	}
	require.Equal(t, "1.23s", about(penstock.Milliseconds(1234567*time.Microsecond)))
	require.Equal(t, "3h7m", about(penstock.Milliseconds(3*time.Hour+7*time.Minute+2*time.Second)))
}

func TestColourIsForTerminalsThatWantIt(t *testing.T) {
	require.Equal(t, "x", screen{}.paint(red, "x"))
	require.Equal(t, "\x1b[31mx\x1b[0m", screen{colour: true}.paint(red, "x"))
	require.Empty(t, screen{colour: true}.paint(red, ""))
}

func TestTheAddressShownIsOneThatAnswersHere(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		"0.0.0.0:8080":   "http://localhost:8080",
		"[::]:80":        "http://localhost:80",
		"[::1]:80":       "http://[::1]:80",
	} {
		addr, err := net.ResolveTCPAddr("tcp", given)
		require.NoError(t, err)
		require.Equal(t, want, new(server).baseURL(addr))
	}
}

func TestShellWordsAreQuoted(t *testing.T) {
	require.Equal(t, `'it'\''s $HOME'`, shellQuote("it's $HOME"))
}

func TestANarrowTerminalCutsTheWidestTextAndNoKey(t *testing.T) {
	list := table{heads: []string{"ENTRY", "QUEUE", "NAME", "SAID"}}
	list.add(key("dlq_2078000000000001_12"), text("a-queue-with-a-long-name"), text("name"), text("something long to say"))
	var out strings.Builder
	require.NoError(t, list.write(&out, screen{terminal: true, width: 56}))
	require.Equal(t, "ENTRY                    QUEUE          NAME  SAID\n"+
		"dlq_2078000000000001_12  a-queue-with…  name  something…\n", out.String())
	out.Reset()
	require.NoError(t, list.write(&out, screen{}))
	require.Contains(t, out.String(), "a-queue-with-a-long-name  name  something long to say")
}

func TestLongSentencesBreakBetweenWords(t *testing.T) {
	require.Equal(t, "one two\n  three\n  four", wrap("one two three four", 8, 2))
	require.Equal(t, "one two three four", wrap("one  two three four", 0, 2))
	require.Equal(t, "immeasurably\n  long", wrap("immeasurably long", 5, 2))
}

func TestCountsHaveTheirNouns(t *testing.T) {
	require.Equal(t, "1 job", plural(1, "job"))
	require.Equal(t, "0 jobs", plural(0, "job"))
	require.Equal(t, "12,345 jobs", plural(int64(12345), "job"))
}
