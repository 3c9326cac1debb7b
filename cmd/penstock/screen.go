package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// screen is how a stream is written to: colour and cutting to width are for
// terminals alone, so that what a pipe reads is whole and plain.
type screen struct {
	terminal bool
	colour   bool
	width    int // columns; 0 cuts nothing
}

// colour is an SGR parameter; the empty one leaves text as it is.
type colour string

const (
	bold   colour = "1"
	faint  colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
)

func (s screen) paint(c colour, text string) string {
	if !s.colour || c == "" || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// stateColour is the colour of a job's state, an attempt's outcome or a DLQ reason.
func stateColour(word string) colour {
	switch word {
	case "running":
		return cyan
	case "completed", "ready", "done", "resolved", "redriven", "healthy":
		return green
	case "retrying", "lost", "expired", "cancelling", "paused", "warning":
		return yellow
	case "dead", "failed", "exhausted", "non_retryable", "crash_loop", "timeout", "stopped", "critical":
		return red
	}
	return ""
}

// plain is text from anyone, safe for a terminal and on one line: control characters
// and those that turn the writing direction are taken out, line breaks are spaces.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unsafeRune(r):
			return -1
		}
		return r
	}, strings.TrimSpace(text))
}

// plainLines is plain for text that keeps its lines and tabs.
func plainLines(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unsafeRune(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(text))
}

func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar
}

// clip cuts text to at most n characters, the last of them an ellipsis.
func clip(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:max(n-1, 0)]) + "…"
}

// ago is a moment beside now: "3 m ago", "in 12 s", "just now". The database's clock
// wrote it and this machine's reads it, so a second either way means nothing.
func ago(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	d := now.Sub(at)
	switch {
	case d >= 2*time.Second:
		return span(d) + " ago"
	case d <= -2*time.Second:
		return "in " + span(-d)
	}
	return "just now"
}

// span is a duration in its one largest unit, rounded down.
func span(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= unit.size {
			return fmt.Sprintf("%d %s", d/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// exact is a duration as flags take it, without its zeros: 30d, 1h30m.
func exact(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// wrap breaks text between words into lines of at most width characters, the ones
// after the first indented; width 0 leaves one line.
func wrap(text string, width, indent int) string {
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case used == 0:
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

// plural is a count and its noun.
func plural[N integer](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(int64(n)) + " " + noun + "s"
}
