package terminal

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Durations have one style: "412µs", "12.3ms", "1.23s", "10m 42s", "3h 5m", "2d 4h". How many
// units are shown depends on what they are for: Duration for what was measured, Exact for
// settings, Span and Ago for lists.

const day = 24 * time.Hour

var units = []struct {
	size time.Duration
	name string
}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}

// Duration is a measured duration with three digits below a minute and two units above.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return Digits(d.Seconds()*1000) + "ms"
	case d < time.Minute:
		return Digits(d.Seconds()) + "s"
	}
	for i, unit := range units[:3] {
		if d >= unit.size {
			next := units[i+1].size
			return Exact(d.Truncate(next))
		}
	}
	return Exact(d)
}

// Span is a duration in its one largest unit, rounded down: "3m".
func Span(d time.Duration) string {
	for _, unit := range units {
		if d >= unit.size {
			return fmt.Sprintf("%d%s", d/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}

// Exact is a duration with all its units but those that are zero: "30d", "1h 30m", "1.5s".
// ParseDuration reads it.
func Exact(d time.Duration) string {
	if d < 0 {
		return "-" + Exact(-d)
	}
	var parts []string
	for _, unit := range units[:3] {
		if n := d / unit.size; n > 0 {
			parts = append(parts, fmt.Sprintf("%d%s", n, unit.name))
			d %= unit.size
		}
	}
	if d > 0 || len(parts) == 0 {
		parts = append(parts, d.String())
	}
	return strings.Join(parts, " ")
}

// errDuration says how a duration is written.
var errDuration = errors.New("give days (7d) or a duration (1h30m)")

// ParseDuration reads days (7d), a duration as Go writes it (1h30m), or both (7d 12h). Spaces
// are allowed between the units.
func ParseDuration(text string) (time.Duration, error) {
	rest := strings.ReplaceAll(text, " ", "")
	var total time.Duration
	if days, after, found := strings.Cut(rest, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errDuration
		}
		total, rest = time.Duration(n)*day, after
		if rest == "" {
			return total, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || total > 0 && d < 0 {
		return 0, errDuration
	}
	return total + d, nil
}

// Last names the time before now: "the last hour", "the last 7 days", "the last 1h 30m".
func Last(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		switch {
		case d == unit.size:
			return "the last " + unit.name
		case d > unit.size && d%unit.size == 0:
			return "the last " + Plural(int64(d/unit.size), unit.name)
		}
	}
	return "the last " + Exact(d)
}

// Ago is a moment seen from now: "3m ago", "in 12s", "just now". The database's clock wrote the
// moment and this machine's reads it, so a second of difference means nothing.
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

// Moment is a point in time as the clock has it, and seen from now:
// "2026-01-31 12:00:00 UTC (3m ago)".
func Moment(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04:05 UTC") + " (" + Ago(at, now) + ")"
}
