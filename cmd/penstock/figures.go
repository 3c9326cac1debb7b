package main

import (
	"io"
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

// rate is a cell of a number per second.
func rate(perSecond float64) terminal.Cell {
	return terminal.Cell{Text: terminal.Rate(perSecond), Right: true}
}

// none is a cell of a figure that there is not.
var none = terminal.Cell{Text: "-", Right: true, Colour: terminal.Faint}

// shareCell is a cell of a share, a dash where there is none.
func shareCell(share *float64) terminal.Cell {
	if share == nil {
		return none
	}
	return terminal.Cell{Text: terminal.Percent(*share), Right: true}
}

// brief is a cell of a measured duration, a dash where there is none.
func brief(d *penstock.Milliseconds) terminal.Cell {
	if d == nil {
		return none
	}
	return terminal.Cell{Text: terminal.Duration(time.Duration(*d)), Right: true}
}

// writeItems writes a list as JSON in the shape of the HTTP API's lists: items, which is never
// null, and next, the cursor of the next page, if there is one.
func writeItems[T any](out io.Writer, items []T, next string) error {
	if items == nil {
		items = []T{}
	}
	return terminal.WriteJSON(out, struct {
		Items []T    `json:"items"`
		Next  string `json:"next,omitempty"`
	}{items, next})
}
