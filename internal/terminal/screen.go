package terminal

import (
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// Screen is how a stream is written to: colour and cutting to width are for
// terminals alone, so that what a pipe reads is whole and plain.
type Screen struct {
	Terminal bool
	Colour   bool
	Width    int // columns; 0 cuts nothing
}

// Colour is an SGR parameter; the empty one leaves text as it is.
type Colour string

const (
	Bold   Colour = "1"
	Faint  Colour = "2"
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Cyan   Colour = "36"
)

func (s Screen) Paint(c Colour, text string) string {
	if !s.Colour || c == "" || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Plain is text from anyone, safe for a terminal and on one line: control characters
// and those that turn the writing direction are taken out, line breaks are spaces.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case UnsafeRune(r):
			return -1
		}
		return r
	}, strings.TrimSpace(text))
}

// PlainLines is plain for text that keeps its lines and tabs.
func PlainLines(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && UnsafeRune(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(text))
}

func UnsafeRune(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar
}

// Clip cuts text to at most n characters, the last of them an ellipsis.
func Clip(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:max(n-1, 0)]) + "…"
}

// ClipStart cuts text to at most n characters, the first of them an ellipsis.
func ClipStart(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return "…" + string(runes[len(runes)-max(n-1, 0):])
}

// Paragraph breaks text between words into lines of at most width characters, each indented by
// so many spaces, which count. A width of 0 leaves one line.
func Paragraph(text string, width, indent int) string {
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case used == 0:
			b.WriteString(strings.Repeat(" ", indent))
			used = indent
		case width > 0 && used+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}

// Hanging is Paragraph without the indent of its first line, which follows a word of that
// width.
func Hanging(text string, width, indent int) string {
	return strings.TrimLeft(Paragraph(text, width, indent), " ")
}

// ScreenOf tells what the file is and whether its reader wants colour. NO_COLOR with
// any value but none turns it off, as does a terminal that says it is dumb.
func ScreenOf(f *os.File, lookup func(string) (string, bool)) Screen {
	s := Screen{Terminal: isatty.IsTerminal(f.Fd())}
	noColor, _ := lookup("NO_COLOR")
	term, _ := lookup("TERM")
	s.Colour = s.Terminal && noColor == "" && term != "dumb"
	if s.Terminal {
		s.Width = Width(f)
	}
	return s
}
