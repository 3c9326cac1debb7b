package top

import (
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// The terminal's own sixteen colours, so that its theme decides how they look.
var (
	bold     = lipgloss.NewStyle().Bold(true)
	faint    = lipgloss.NewStyle().Foreground(lipgloss.BrightBlack)
	good     = lipgloss.NewStyle().Foreground(lipgloss.Green)
	warn     = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	bad      = lipgloss.NewStyle().Foreground(lipgloss.Red)
	accent   = lipgloss.NewStyle().Foreground(lipgloss.Cyan)
	plain    = lipgloss.NewStyle()
	reversed = lipgloss.NewStyle().Reverse(true)
)

// column is one of a table: least columns wide, and wide enough for what is in it.
// The one that stretches gets what is left, or gives what is missing.
type column struct {
	head      string
	right     bool
	stretches bool
	optional  bool // may be left out where it is empty
}

// cell is text and how it looks.
type cell struct {
	text  string
	style lipgloss.Style
}

// table is columns and rows, cut to a width and a height around the selected row.
type table struct {
	columns  []column
	rows     [][]cell
	selected int // -1: none
}

const gap = 2

// absent is a figure that there is not.
var absent = cell{"–", faint}

// natural is how wide the table is when nothing is cut.
func (t table) natural() int {
	total := gap * (len(t.columns) - 1)
	for i := range t.columns {
		total += t.widest(i)
	}
	return total
}

func (t table) widest(column int) int {
	width := lipgloss.Width(t.columns[column].head)
	for _, row := range t.rows {
		width = max(width, lipgloss.Width(row[column].text))
	}
	return width
}

// empty reports whether no row has a figure in the column.
func (t table) empty(column int) bool {
	return !slices.ContainsFunc(t.rows, func(row []cell) bool { return row[column].text != absent.text })
}

// without is the table without the column.
func (t table) without(column int) table {
	t.columns = slices.Delete(slices.Clone(t.columns), column, column+1)
	for i, row := range t.rows {
		t.rows[i] = slices.Delete(row, column, column+1)
	}
	return t
}

// lines draws the table: a head, and as many rows as fit.
func (t table) lines(width, height int) []string {
	widths := t.widths(width)
	head := make([]cell, len(t.columns))
	for i, c := range t.columns {
		head[i] = cell{c.head, faint}
	}
	lines := []string{t.line(head, widths, width, false)}
	from := max(0, min(t.selected-(height-1)/2, len(t.rows)-(height-1)))
	for i := from; i < len(t.rows) && len(lines) < height; i++ {
		lines = append(lines, t.line(t.rows[i], widths, width, i == t.selected))
	}
	return lines
}

func (t table) widths(width int) []int {
	widths := make([]int, len(t.columns))
	used, stretching := gap*(len(widths)-1), -1
	for i, c := range t.columns {
		widths[i] = t.widest(i)
		used += widths[i]
		if c.stretches {
			stretching = i
		}
	}
	if stretching >= 0 {
		widths[stretching] = max(widths[stretching]+width-used, 8)
	}
	return widths
}

func (t table) line(row []cell, widths []int, width int, selected bool) string {
	var b strings.Builder
	for i, c := range row {
		text := ansi.Truncate(c.text, widths[i], "…")
		padding := strings.Repeat(" ", max(widths[i]-lipgloss.Width(text), 0))
		if t.columns[i].right {
			text = padding + text
		} else {
			text += padding
		}
		if !selected {
			text = c.style.Render(text)
		}
		b.WriteString(text)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", gap))
		}
	}
	line := fit(b.String(), width)
	if selected {
		return reversed.Render(line)
	}
	return line
}

// fit cuts or pads a line to the width.
func fit(line string, width int) string {
	line = ansi.Truncate(line, width, "…")
	return line + strings.Repeat(" ", max(width-lipgloss.Width(line), 0))
}

// apart puts two texts at the ends of a line.
func apart(left, right string, width int) string {
	room := width - lipgloss.Width(right) - 1
	return fit(left, max(room, 0)) + " " + right
}
