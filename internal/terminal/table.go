package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Cell is one field of a table. Text from data passes Plain first, as Text, Key and Dimmed do.
type Cell struct {
	Text   string
	Colour Colour
	Right  bool // numbers line up at their ends
	Whole  bool // never cut: it is there to be copied
	Tail   bool // cut at its start, as a path whose end says most
}

// Text is a cell of data.
func Text(s string) Cell { return Cell{Text: Plain(s)} }

// Number is a cell of n as it is written in commands.
func Number[N integer](n N) Cell { return Cell{Text: fmt.Sprint(n), Right: true} }

// Key is a cell that is never cut.
func Key(s string) Cell { return Cell{Text: Plain(s), Whole: true} }

// Dimmed is a cell of data that matters less.
func Dimmed(s string) Cell { return Cell{Text: Plain(s), Colour: Faint} }

// Table aligns rows under heads. On a terminal the last column is cut where the
// screen ends, and where that is not enough the widest others, so that a row is a line.
type Table struct {
	Indent string // before each line
	Heads  []string
	Rows   [][]Cell
}

// Add adds a row, with a cell for each head.
func (t *Table) Add(cells ...Cell) { t.Rows = append(t.Rows, cells) }

// Write writes the heads and the rows.
func (t *Table) Write(out io.Writer, s Screen) error {
	lines := make([][]Cell, 0, len(t.Rows)+1)
	head := make([]Cell, len(t.Heads))
	for i, h := range t.Heads {
		head[i] = Cell{Text: h, Colour: Bold, Right: len(t.Rows) > 0 && t.Rows[0][i].Right}
	}
	lines = append(append(lines, head), t.Rows...)

	widths := make([]int, len(t.Heads))
	for _, line := range lines {
		for i, c := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.Text))
		}
	}
	if s.Width > 0 {
		s.Width = max(s.Width-utf8.RuneCountInString(t.Indent), 1)
		t.fit(widths, s.Width)
	}
	var b strings.Builder
	for _, line := range lines {
		var one strings.Builder
		writeLine(&one, line, widths, s)
		b.WriteString(t.Indent + strings.TrimRight(one.String(), " ") + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

const (
	columnGap = "  "
	narrowest = 10 // that a column is cut to
)

// fit narrows the widest columns of text until the last begins early enough. Numbers
// and keys stay whole.
func (t *Table) fit(widths []int, screen int) {
	last := len(widths) - 1
	room := screen - len(columnGap)*last - min(widths[last], narrowest)
	for {
		used, widest := 0, -1
		for i, w := range widths[:last] {
			used += w
			may := len(t.Rows) > 0 && !t.Rows[0][i].Right && !t.Rows[0][i].Whole
			if may && w > narrowest && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if used <= room || widest < 0 {
			return
		}
		widths[widest]--
	}
}

// clip is the cell's text in at most n characters.
func (c Cell) clip(n int) string {
	if c.Tail {
		return ClipStart(c.Text, n)
	}
	return Clip(c.Text, n)
}

func writeLine(b *strings.Builder, line []Cell, widths []int, s Screen) {
	used := 0
	for i, c := range line {
		last := i == len(line)-1
		if last && s.Width > 0 {
			c.Text = c.clip(max(s.Width-used, narrowest))
		} else if !last {
			c.Text = c.clip(widths[i])
		}
		padding := strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(c.Text), 0))
		switch {
		case c.Right:
			b.WriteString(padding + s.Paint(c.Colour, c.Text))
		case last:
			b.WriteString(s.Paint(c.Colour, c.Text))
		default:
			b.WriteString(s.Paint(c.Colour, c.Text) + padding)
		}
		if !last {
			b.WriteString(columnGap)
		}
		used += widths[i] + len(columnGap)
	}
}
