package terminal

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATableAlignsItsColumns(t *testing.T) {
	list := Table{Heads: []string{"N", "NAME", "SAID"}}
	list.Add(Number(7), Text("a"), Text("first"))
	list.Add(Number(1234), Text("longer"), Text("second"))
	var out strings.Builder
	require.NoError(t, list.Write(&out, Screen{}))
	require.Equal(t, "   N  NAME    SAID\n   7  a       first\n1234  longer  second\n", out.String())
}

func TestATableOnATerminalIsColouredAndCutAtItsEdge(t *testing.T) {
	list := Table{Heads: []string{"STATE", "SAID"}}
	list.Add(Cell{Text: "dead", Colour: Red, Whole: true}, Text("something that is too long"))
	var out strings.Builder
	require.NoError(t, list.Write(&out, Screen{Terminal: true, Colour: true, Width: 20}))
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
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.printed, Plain(c.given)) })
	}
}

func TestJSONKeepsEveryValueAndSteersNoTerminal(t *testing.T) {
	var out strings.Builder
	value := map[string]string{"k": "a\x1b\u009b\u202e\x7f<é>"}
	require.NoError(t, WriteJSON(&out, value))
	for _, r := range out.String() {
		require.True(t, r == '\n' || !UnsafeRune(r), "%U", r)
	}
	require.JSONEq(t, `{"k":"a\u001b\u009b\u202e\u007f<é>"}`, out.String())
	require.Contains(t, out.String(), "<é>")
}

func TestColourIsForTerminalsThatWantIt(t *testing.T) {
	require.Equal(t, "x", Screen{}.Paint(Red, "x"))
	require.Equal(t, "\x1b[31mx\x1b[0m", Screen{Colour: true}.Paint(Red, "x"))
	require.Empty(t, Screen{Colour: true}.Paint(Red, ""))
}

func TestShellWordsAreQuoted(t *testing.T) {
	require.Equal(t, `'it'\''s $HOME'`, ShellQuote("it's $HOME"))
}

func TestANarrowTerminalCutsTheWidestTextAndNoKey(t *testing.T) {
	list := Table{Heads: []string{"ENTRY", "QUEUE", "NAME", "SAID"}}
	list.Add(Key("dlq_2078000000000001_12"), Text("a-queue-with-a-long-name"), Text("name"), Text("something long to say"))
	var out strings.Builder
	require.NoError(t, list.Write(&out, Screen{Terminal: true, Width: 56}))
	require.Equal(t, "ENTRY                    QUEUE          NAME  SAID\n"+
		"dlq_2078000000000001_12  a-queue-with…  name  something…\n", out.String())
	out.Reset()
	require.NoError(t, list.Write(&out, Screen{}))
	require.Contains(t, out.String(), "a-queue-with-a-long-name  name  something long to say")
}

func TestParagraphsBreakBetweenWordsAndCountTheirIndent(t *testing.T) {
	require.Equal(t, "  one\n  two\n  three\n  four", Paragraph("one two three four", 8, 2))
	require.Equal(t, "  one two\n  three\n  four", Paragraph("one two three four", 9, 2))
	require.Equal(t, "  one two three four", Paragraph("one  two three four", 0, 2))
	require.Equal(t, "immeasurably\nlong", Paragraph("immeasurably long", 5, 0))
	require.Empty(t, Paragraph(" ", 5, 2))
	require.Equal(t, "two\n     three", Hanging("two three", 9, 5))
}

func TestAnIndentedTableCutsPathsAtTheirStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		width int
		want  string
	}{
		{
			"as wide as needed where nothing limits it", 0,
			"  package                         lines\n  src/cmd/compile/internal/ssa  200,001\n  src/fmt                             7\n",
		},
		{
			"a terminal that is just as wide", 39,
			"  package                         lines\n  src/cmd/compile/internal/ssa  200,001\n  src/fmt                             7\n",
		},
		{
			"a narrower one", 30,
			"  package                lines\n  …mpile/internal/ssa  200,001\n  src/fmt                    7\n",
		},
		{
			"one that is too narrow", 5,
			"  package       lines\n  …ernal/ssa  200,001\n  src/fmt           7\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := Table{Indent: "  ", Heads: []string{"package", "lines"}}
			list.Add(Cell{Text: "src/cmd/compile/internal/ssa", Tail: true}, Grouped(200_001))
			list.Add(Cell{Text: "src/fmt", Tail: true}, Grouped(7))
			var out strings.Builder
			require.NoError(t, list.Write(&out, Screen{Width: c.width}))
			require.Equal(t, c.want, out.String())
		})
	}
}

func TestCellsAreCountedInCharacters(t *testing.T) {
	list := Table{Heads: []string{"e", "n"}}
	list.Add(Text("illegal '☹☹☹'"), Grouped(1))
	list.Add(Text("⊛"), Grouped(2))
	var out strings.Builder
	require.NoError(t, list.Write(&out, Screen{Width: 15}))
	require.Equal(t, "e             n\nillegal '☹☹…  1\n⊛             2\n", out.String())
}
