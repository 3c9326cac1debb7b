package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Facts writes one thing as aligned "label  value" lines, leaving out empty values.
type Facts struct {
	Rows [][2]Cell
}

func (f *Facts) Add(label string, value Cell) {
	if value.Text != "" {
		f.Rows = append(f.Rows, [2]Cell{{Text: label, Colour: Faint}, value})
	}
}

func (f *Facts) Write(out io.Writer, s Screen, indent string) error {
	width := 0
	for _, row := range f.Rows {
		width = max(width, utf8.RuneCountInString(row[0].Text))
	}
	var b strings.Builder
	for _, row := range f.Rows {
		padding := strings.Repeat(" ", width-utf8.RuneCountInString(row[0].Text))
		fmt.Fprintf(&b, "%s%s%s%s%s\n", indent, s.Paint(row[0].Colour, row[0].Text), padding, columnGap, s.Paint(row[1].Colour, row[1].Text))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
