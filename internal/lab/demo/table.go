package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// column says how a table's column is set. At most one column of a table has cut, and
// gives way where the table is wider than the terminal.
type column struct {
	title string
	right bool
	cut   func(text string, width int) string
}

// writeTable sets rows under their titles, two spaces apart and indented. width is the
// terminal's in cells; 0 means that any width will do.
func writeTable(out io.Writer, width int, columns []column, rows [][]string) error {
	widths := make([]int, len(columns))
	total := 0
	for i, c := range columns {
		widths[i] = cells(c.title)
		for _, row := range rows {
			widths[i] = max(widths[i], cells(row[i]))
		}
		total += 2 + widths[i]
	}
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
		if c.cut != nil && width > 0 && total > width {
			widths[i] = max(widths[i]-(total-width), min(widths[i], 12))
		}
	}
	var text strings.Builder
	for _, row := range append([][]string{titles}, rows...) {
		var line strings.Builder
		for i, c := range columns {
			cell := row[i]
			if cells(cell) > widths[i] {
				cell = c.cut(cell, widths[i])
			}
			space := strings.Repeat(" ", widths[i]-cells(cell))
			if c.right {
				line.WriteString("  " + space + cell)
			} else {
				line.WriteString("  " + cell + space)
			}
		}
		text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// cells is how wide text is on a terminal, for text without wide characters.
func cells(text string) int { return utf8.RuneCountInString(text) }

// cutEnd shortens a sentence, of which the beginning says most.
func cutEnd(text string, width int) string {
	if cells(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + "…"
}

// cutStart shortens a path, of which the end says most.
func cutStart(text string, width int) string {
	if cells(text) <= width {
		return text
	}
	runes := []rune(text)
	return "…" + string(runes[len(runes)-max(width-1, 0):])
}

// number writes n with a comma between thousands.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// plural counts things: "1 job", "1,200 jobs".
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%s %ss", number(n), thing)
}
