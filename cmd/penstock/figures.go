package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

func state(s string) terminal.Cell {
	return terminal.Cell{Text: terminal.Plain(s), Colour: stateColour(s), Whole: true}
}

// stateColour is the colour of a job's state, an attempt's outcome or a DLQ reason.
func stateColour(word string) terminal.Colour {
	switch word {
	case "running":
		return terminal.Cyan
	case "completed", "ready", "done", "resolved", "redriven", "healthy":
		return terminal.Green
	case "retrying", "lost", "expired", "cancelling", "paused", "warning":
		return terminal.Yellow
	case "dead", "failed", "exhausted", "non_retryable", "crash_loop", "timeout", "stopped", "critical":
		return terminal.Red
	}
	return ""
}

// rate is a number per second with three digits that count.
func rate(perSecond float64) terminal.Cell {
	switch {
	case perSecond >= 1000:
		return terminal.Grouped(int64(perSecond + 0.5))
	case perSecond == 0:
		return terminal.Cell{Text: "0", Right: true}
	case perSecond < 0.01:
		return terminal.Cell{Text: "<0.01", Right: true}
	}
	return terminal.Cell{Text: strconv.FormatFloat(perSecond, 'f', decimals(perSecond), 64), Right: true}
}

// decimals is how many leave a number three digits that count, two at most.
func decimals(f float64) int {
	switch {
	case f >= 99.95:
		return 0
	case f >= 9.995:
		return 1
	}
	return 2
}

// shareCell is a share; only all of it is 100%, only none 0%. A dash where there is none.
func shareCell(share *float64) terminal.Cell {
	if share == nil {
		return terminal.Cell{Text: "-", Right: true, Colour: terminal.Faint}
	}
	c := terminal.Cell{Right: true}
	switch p := *share * 100; {
	case p == 100 || p == 0:
		c.Text = fmt.Sprintf("%.0f%%", p)
	case p >= 99.9 || p < 0.1:
		c.Text = fmt.Sprintf("%.2f%%", min(max(p, 0.01), 99.99))
	default:
		c.Text = fmt.Sprintf("%.1f%%", p)
	}
	return c
}

// brief is a duration with three digits that count: 412 µs, 12.3 ms, 1.23 s, 3.2 m.
func brief(d *penstock.Milliseconds) terminal.Cell {
	if d == nil {
		return terminal.Cell{Text: "-", Right: true, Colour: terminal.Faint}
	}
	c := terminal.Cell{Right: true}
	switch t := time.Duration(*d); {
	case t < time.Millisecond:
		c.Text = fmt.Sprintf("%d µs", t.Microseconds())
	case t < time.Second:
		c.Text = digits(t.Seconds()*1000) + " ms"
	case t < time.Minute:
		c.Text = digits(t.Seconds()) + " s"
	case t < time.Hour:
		c.Text = digits(t.Minutes()) + " m"
	case t < 48*time.Hour:
		c.Text = digits(t.Hours()) + " h"
	default:
		c.Text = digits(t.Hours()/24) + " d"
	}
	return c
}

func digits(f float64) string { return strconv.FormatFloat(f, 'f', decimals(f), 64) }
