package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

const chartBars = 60 // a chart's width, on any screen

// chartStep is what one bar of a chart of the window stands for, and where it starts.
func chartStep(m penstock.QueueMetrics) (penstock.Step, time.Time) {
	for _, s := range []struct {
		step penstock.Step
		size time.Duration
	}{{penstock.StepMinute, time.Minute}, {penstock.StepHour, time.Hour}} {
		if time.Duration(m.Window) <= (chartBars+1)*s.size {
			return s.step, m.At.Truncate(s.size).Add(-(chartBars - 1) * s.size)
		}
	}
	return penstock.StepDay, m.At.Truncate(24 * time.Hour).Add(-(chartBars - 1) * 24 * time.Hour)
}

// stepSize is the time that a step sums up.
func stepSize(s penstock.Step) time.Duration {
	switch s {
	case penstock.StepMinute:
		return time.Minute
	case penstock.StepHour:
		return time.Hour
	}
	return 24 * time.Hour
}

// writeSparkline draws what completed, step by step up to now, on one line; a step of which
// nothing is known stays blank. Nothing is drawn of fewer than two.
func writeSparkline(out io.Writer, d *deps, history []penstock.Sample, step penstock.Step, now time.Time) error {
	if len(history) < 2 {
		return nil
	}
	line, most := sparkline(history, stepSize(step), now)
	_, err := fmt.Fprintf(out, "\n%s  %s\n%s\n", d.Screen.Paint(terminal.Faint, "completed by the "+string(step)),
		d.Screen.Paint(terminal.Faint, "at most "+terminal.Thousands(most)), d.Screen.Paint(terminal.Cyan, line))
	return err
}

// sparkline has a bar for each step of the history's end, the one of now the last.
func sparkline(history []penstock.Sample, size time.Duration, now time.Time) (line string, most int64) {
	values := slices.Repeat([]int64{terminal.Unknown}, chartBars)
	last := now.Truncate(size)
	for _, s := range history {
		most = max(most, s.Completed)
		place := chartBars - 1 - int(last.Sub(s.At)/size)
		if place >= 0 && place < chartBars {
			values[place] = s.Completed
		}
	}
	return strings.TrimSpace(terminal.Spark(values, chartBars)), most
}
