package top

import (
	"fmt"
	"strings"
	"time"
	"unicode"

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
		widths[i] = lipgloss.Width(c.head)
		for _, row := range t.rows {
			widths[i] = max(widths[i], lipgloss.Width(row[i].text))
		}
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

var bars = []rune("▁▂▃▄▅▆▇█")

// spark draws the last n values, the greatest of them as a full bar.
func spark(values []int64, n int) string {
	values = values[max(0, len(values)-n):]
	most := int64(0)
	for _, v := range values {
		most = max(most, v)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", n-len(values)))
	for _, v := range values {
		switch {
		case v == 0:
			b.WriteByte(' ')
		default:
			b.WriteRune(bars[min(v*int64(len(bars))/(most+1), int64(len(bars)-1))])
		}
	}
	return b.String()
}

// count is a number with its thousands set apart, and short from a million on.
func count(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return fmt.Sprint(n)
}

// span is a duration in its one largest unit.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%d m", d/time.Minute)
	case d >= time.Second:
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// clean is text from anyone on one line, without what a terminal would obey.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, strings.TrimSpace(text))
}
