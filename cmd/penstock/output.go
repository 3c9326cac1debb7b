package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// cell is one field of a table; text that came from data goes in through plain.
type cell struct {
	text   string
	colour colour
	right  bool // numbers line up at their ends
	whole  bool // never cut: it is there to be copied
}

func text(s string) cell         { return cell{text: plain(s)} }
func state(s string) cell        { return cell{text: plain(s), colour: stateColour(s), whole: true} }
func number[N integer](n N) cell { return cell{text: fmt.Sprint(n), right: true} }
func key(s string) cell          { return cell{text: plain(s), whole: true} }
func dimmed(s string) cell       { return cell{text: plain(s), colour: faint} }

type integer interface {
	~int | ~int16 | ~int32 | ~int64
}

// table aligns rows under heads. On a terminal the last column is cut where the
// screen ends, and where that is not enough the widest others, so that a row is a line.
type table struct {
	heads []string
	rows  [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

func (t *table) write(out io.Writer, s screen) error {
	lines := make([][]cell, 0, len(t.rows)+1)
	head := make([]cell, len(t.heads))
	for i, h := range t.heads {
		head[i] = cell{text: h, colour: bold, right: len(t.rows) > 0 && t.rows[0][i].right}
	}
	lines = append(append(lines, head), t.rows...)

	widths := make([]int, len(t.heads))
	for _, line := range lines {
		for i, c := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	if s.width > 0 {
		t.fit(widths, s.width)
	}
	var b strings.Builder
	for _, line := range lines {
		var one strings.Builder
		writeLine(&one, line, widths, s)
		b.WriteString(strings.TrimRight(one.String(), " ") + "\n")
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
func (t *table) fit(widths []int, screen int) {
	last := len(widths) - 1
	room := screen - len(columnGap)*last - min(widths[last], narrowest)
	for {
		used, widest := 0, -1
		for i, w := range widths[:last] {
			used += w
			may := len(t.rows) > 0 && !t.rows[0][i].right && !t.rows[0][i].whole
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

func writeLine(b *strings.Builder, line []cell, widths []int, s screen) {
	used := 0
	for i, c := range line {
		last := i == len(line)-1
		if last && s.width > 0 {
			c.text = clip(c.text, max(s.width-used, narrowest))
		} else if !last {
			c.text = clip(c.text, widths[i])
		}
		padding := strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(c.text), 0))
		switch {
		case c.right:
			b.WriteString(padding + s.paint(c.colour, c.text))
		case last:
			b.WriteString(s.paint(c.colour, c.text))
		default:
			b.WriteString(s.paint(c.colour, c.text) + padding)
		}
		if !last {
			b.WriteString(columnGap)
		}
		used += widths[i] + len(columnGap)
	}
}

// facts writes one thing as aligned "label  value" lines, leaving out empty values.
type facts struct {
	rows [][2]cell
}

func (f *facts) add(label string, value cell) {
	if value.text != "" {
		f.rows = append(f.rows, [2]cell{{text: label, colour: faint}, value})
	}
}

func (f *facts) write(out io.Writer, s screen, indent string) error {
	width := 0
	for _, row := range f.rows {
		width = max(width, utf8.RuneCountInString(row[0].text))
	}
	var b strings.Builder
	for _, row := range f.rows {
		padding := strings.Repeat(" ", width-utf8.RuneCountInString(row[0].text))
		fmt.Fprintf(&b, "%s%s%s%s%s\n", indent, s.paint(row[0].colour, row[0].text), padding, columnGap, s.paint(row[1].colour, row[1].text))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// writeJSON writes v as one indented document. Characters that a terminal would obey
// are escaped, which changes no value: outside strings there are none.
func writeJSON(out io.Writer, v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err := io.WriteString(out, escapeUnsafe(b.String()))
	return err
}

func escapeUnsafe(document string) string {
	var b strings.Builder
	for _, r := range document {
		if r != '\n' && unsafeRune(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
