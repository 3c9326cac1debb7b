package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
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
	case "completed", "ready":
		return green
	case "retrying", "lost", "expired", "cancelling":
		return yellow
	case "dead", "failed", "exhausted", "non_retryable", "crash_loop", "timeout":
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
