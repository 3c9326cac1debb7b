package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newStats(d *deps) *cobra.Command {
	window := wait(time.Hour)
	cmd := &cobra.Command{
		Use:   "stats [QUEUE]",
		Short: "Show how the queues do, or how one does and how long its attempts take",
		Long: `Show how the queues do: what waits, runs and is dead now, and what happened in the
window of time up to now. With a queue, also how long its attempts took and how it
went minute by minute.

Times of processing are from claim to end of attempts that completed; waits from due
to claim, in which a job that is due now counts with its age.`,
		Example: `  penstock stats
  penstock stats mail --window 7d`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	cmd.Flags().Var(&window, "window", "how far to look back, 1m to 731d")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if len(args) == 1 {
			return runQueueStats(ctx, d, client, d.Stdout, args[0], time.Duration(window), asJSON)
		}
		return runStats(ctx, d, client, d.Stdout, time.Duration(window), asJSON)
	})
}

func runStats(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, window time.Duration, asJSON bool) error {
	all, err := client.Metrics.All(ctx, window)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, all)
	}
	if len(all.Queues) == 0 {
		_, err := fmt.Fprintf(out, "Nothing is in any queue, and nothing happened in %s.\n", terminal.Last(window))
		return err
	}
	list := terminal.Table{Heads: []string{"QUEUE", "WAITING", "RUNNING", "DEAD", "DONE/S", "SUCCESS", "RUN", "WAIT", "OLDEST"}}
	for _, q := range all.Queues {
		list.Add(statsRow(terminal.Text(q.Queue), q.Metrics)...)
	}
	if len(all.Queues) > 1 {
		list.Add(statsRow(terminal.Dimmed("all"), all.Total)...)
	}
	if err := list.Write(out, d.Screen); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%s\n", d.Screen.Paint(terminal.Faint, "Rates and times are of "+terminal.Last(window)+"; penstock stats QUEUE shows one queue."))
	return err
}

func statsRow(name terminal.Cell, m penstock.Metrics) []terminal.Cell {
	return []terminal.Cell{
		name, terminal.Grouped(m.Waiting + m.Retrying), terminal.Grouped(m.Running), deadCell(m.Dead), rate(m.Throughput), shareCell(m.SuccessRate),
		brief(m.AverageProcessingTime), brief(m.AverageWaitTime), oldest(m),
	}
}

// queueStats is all that `stats QUEUE` reports.
type queueStats struct {
	penstock.QueueMetrics
	Performance penstock.Performance `json:"performance"`
	History     []penstock.Sample    `json:"history"`
}

func runQueueStats(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, queue string, window time.Duration, asJSON bool) (err error) {
	var s queueStats
	if s.QueueMetrics, err = client.Metrics.Queue(ctx, queue, window); err != nil {
		return err
	}
	if s.Performance, err = client.Metrics.Performance(ctx, penstock.PerformanceQuery{Queue: queue, Window: window}); err != nil {
		return err
	}
	step, from := chartStep(s.QueueMetrics)
	if s.History, err = client.Metrics.History(ctx, penstock.HistoryQuery{Queue: queue, From: from, Step: step}); err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, s)
	}
	return writeQueueStats(out, d, s, window, step)
}

func writeQueueStats(out io.Writer, d *deps, s queueStats, window time.Duration, step penstock.Step) error {
	m := s.Metrics
	var now terminal.Facts
	now.Add("queue", terminal.Text(s.Queue))
	now.Add("waiting", terminal.Text(strings.Join(slices.DeleteFunc([]string{
		terminal.Thousands(m.Waiting), also(m.Retrying, "to be retried"), also(m.Scheduled, "scheduled"), oldestText(m),
	}, func(part string) bool { return part == "" }), ", ")))
	now.Add("running", terminal.Text(runningText(m)))
	now.Add("dead", terminal.Cell{Text: terminal.Thousands(m.Dead), Colour: deadCell(m.Dead).Colour})
	if err := now.Write(out, d.Screen, ""); err != nil {
		return err
	}

	fmt.Fprintf(out, "\n%s\n", d.Screen.Paint(terminal.Bold, strings.ToUpper(strings.TrimPrefix(terminal.Last(window), "the "))))
	var past terminal.Facts
	past.Add("enqueued", terminal.Text(fmt.Sprintf("%s, %s/s", terminal.Thousands(m.Enqueued), rate(m.ArrivalRate).Text)))
	past.Add("completed", terminal.Text(fmt.Sprintf("%s, %s/s", terminal.Thousands(m.Completed), rate(m.Throughput).Text)))
	failures := terminal.Thousands(m.Failed)
	if m.SuccessRate != nil {
		failures += ", " + shareCell(m.SuccessRate).Text + " of attempts succeeded"
	}
	past.Add("failed", terminal.Text(failures))
	past.Add("otherwise", terminal.Text(otherEnds(m)))
	past.Add("drained", terminal.Text(drainText(m)))
	if m.Capacity != nil {
		past.Add("capacity", terminal.Text(rate(*m.Capacity).Text+"/s by "+terminal.Plural(m.Slots, "slot")))
	}
	if err := past.Write(out, d.Screen, ""); err != nil {
		return err
	}

	p := s.Performance
	list := terminal.Table{Heads: []string{"TIME", "JOBS", "AVERAGE", "MEDIAN", "P95", "P99", "MIN", "MAX"}}
	for _, row := range []struct {
		name string
		l    penstock.Latency
	}{{"processing", p.ProcessingTime}, {"wait", p.WaitTime}, {"total", p.TotalTime}} {
		if row.l.Count > 0 {
			list.Add(terminal.Key(row.name), terminal.Grouped(row.l.Count), brief(row.l.Average), brief(row.l.Median), brief(row.l.P95),
				brief(row.l.P99), brief(row.l.Min), brief(row.l.Max))
		}
	}
	if err := writeBelow(out, d, list); err != nil {
		return err
	}
	if p.Error > 0 && len(list.Rows) > 0 {
		fmt.Fprintln(out, d.Screen.Paint(terminal.Faint, "Percentiles are within 1%."))
	}
	return writeSparkline(out, d, s.History, step, s.At)
}

func also(n int64, what string) string {
	if n == 0 {
		return ""
	}
	return terminal.Thousands(n) + " " + what
}

func oldestText(m penstock.Metrics) string {
	if m.OldestWaitingAge == 0 {
		return ""
	}
	return "the oldest for " + brief(&m.OldestWaitingAge).Text
}

func runningText(m penstock.Metrics) string {
	if m.Slots == 0 {
		return terminal.Thousands(m.Running) + ", no live worker"
	}
	return fmt.Sprintf("%s, %s of %s in use", terminal.Thousands(m.Running), shareCell(m.Utilisation).Text, terminal.Plural(m.Slots, "slot"))
}

func otherEnds(m penstock.Metrics) string {
	var parts []string
	for _, end := range []struct {
		n    int64
		word string
	}{{m.Lost, "lost"}, {m.Snoozed, "snoozed"}, {m.Released, "released"}, {m.Cancelled, "cancelled"}, {m.Expired, "expired"}, {m.Died, "moved to the DLQ"}} {
		if end.n > 0 {
			parts = append(parts, terminal.Thousands(end.n)+" "+end.word)
		}
	}
	return strings.Join(parts, ", ")
}

func drainText(m penstock.Metrics) string {
	switch {
	case m.TimeToDrain == nil:
		return "never at these rates: more comes than goes"
	case *m.TimeToDrain == 0:
		return "nothing is due"
	}
	return "in " + brief(m.TimeToDrain).Text + " at these rates"
}

func oldest(m penstock.Metrics) terminal.Cell {
	if m.OldestWaitingAge == 0 {
		return terminal.Cell{Text: "-", Right: true, Colour: terminal.Faint}
	}
	return brief(&m.OldestWaitingAge)
}

func deadCell(n int64) terminal.Cell {
	c := terminal.Grouped(n)
	if n > 0 {
		c.Colour = terminal.Red
	}
	return c
}
