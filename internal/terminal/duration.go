package terminal

import (
	"fmt"
	"strings"
	"time"
)

// Ago is a moment beside now: "3 m ago", "in 12 s", "just now". The database's clock
// wrote it and this machine's reads it, so a second either way means nothing.
func Ago(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	d := now.Sub(at)
	switch {
	case d >= 2*time.Second:
		return Span(d) + " ago"
	case d <= -2*time.Second:
		return "in " + Span(-d)
	}
	return "just now"
}

// Span is a duration in its one largest unit, rounded down.
func Span(d time.Duration) string {
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

// Exact is a duration as flags take it, without its zeros: 30d, 1h30m.
func Exact(d time.Duration) string {
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
