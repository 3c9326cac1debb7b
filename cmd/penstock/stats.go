package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
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
		Args: queueArgs(0, 1), ValidArgsFunction: inOrder(d.queueNames),
	}
	cmd.Flags().Var(&window, "window", "how far to look back, 1m to 731d")
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		if len(args) == 1 {
			return runQueueStats(ctx, d, client, d.stdout, args[0], time.Duration(window), asJSON)
		}
		return runStats(ctx, d, client, d.stdout, time.Duration(window), asJSON)
	})
}

func runStats(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, window time.Duration, asJSON bool) error {
	all, err := client.Metrics.All(ctx, window)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, all)
	}
	if len(all.Queues) == 0 {
		_, err := fmt.Fprintf(out, "Nothing is in any queue, and nothing happened in the last %s.\n", exact(window))
		return err
	}
	list := table{heads: []string{"QUEUE", "WAITING", "RUNNING", "DEAD", "DONE/S", "SUCCESS", "RUN", "WAIT", "OLDEST"}}
	for _, q := range all.Queues {
		list.add(statsRow(text(q.Queue), q.Metrics)...)
	}
	if len(all.Queues) > 1 {
		list.add(statsRow(dimmed("all"), all.Total)...)
	}
	if err := list.write(out, d.screen); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%s\n", d.screen.paint(faint, "Rates and times are of the last "+exact(window)+"; penstock stats QUEUE shows one queue."))
	return err
}

func statsRow(name cell, m penstock.Metrics) []cell {
	return []cell{
		name, grouped(m.Waiting + m.Retrying), grouped(m.Running), deadCell(m.Dead), rate(m.Throughput), shareCell(m.SuccessRate),
		brief(m.AverageProcessingTime), brief(m.AverageWaitTime), oldest(m),
	}
}

// queueStats is all that `stats QUEUE` tells.
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
		return writeJSON(out, s)
	}
	return writeQueueStats(out, d, s, window, step)
}

func writeQueueStats(out io.Writer, d *deps, s queueStats, window time.Duration, step penstock.Step) error {
	m := s.Metrics
	var now facts
	now.add("queue", text(s.Queue))
	now.add("waiting", text(strings.Join(slices.DeleteFunc([]string{
		thousands(m.Waiting), also(m.Retrying, "to be retried"), also(m.Scheduled, "scheduled"), oldestText(m),
	}, func(part string) bool { return part == "" }), ", ")))
	now.add("running", text(runningText(m)))
	now.add("dead", cell{text: thousands(m.Dead), colour: deadCell(m.Dead).colour})
	if err := now.write(out, d.screen, ""); err != nil {
		return err
	}

	fmt.Fprintf(out, "\n%s\n", d.screen.paint(bold, "LAST "+strings.ToUpper(exact(window))))
	var past facts
	past.add("enqueued", text(fmt.Sprintf("%s, %s/s", thousands(m.Enqueued), rate(m.ArrivalRate).text)))
	past.add("completed", text(fmt.Sprintf("%s, %s/s", thousands(m.Completed), rate(m.Throughput).text)))
	failures := thousands(m.Failed)
	if m.SuccessRate != nil {
		failures += ", " + shareCell(m.SuccessRate).text + " of attempts succeeded"
	}
	past.add("failed", text(failures))
	past.add("otherwise", text(otherEnds(m)))
	past.add("drained", text(drainText(m)))
	if m.Capacity != nil {
		past.add("capacity", text(rate(*m.Capacity).text+"/s by "+plural(m.Slots, "slot")))
	}
	if err := past.write(out, d.screen, ""); err != nil {
		return err
	}

	p := s.Performance
	list := table{heads: []string{"TIME", "JOBS", "AVERAGE", "MEDIAN", "P95", "P99", "MIN", "MAX"}}
	for _, row := range []struct {
		name string
		l    penstock.Latency
	}{{"processing", p.ProcessingTime}, {"wait", p.WaitTime}, {"total", p.TotalTime}} {
		if row.l.Count > 0 {
			list.add(key(row.name), grouped(row.l.Count), brief(row.l.Average), brief(row.l.Median), brief(row.l.P95),
				brief(row.l.P99), brief(row.l.Min), brief(row.l.Max))
		}
	}
	if err := writeBelow(out, d, list); err != nil {
		return err
	}
	if p.Error > 0 && len(list.rows) > 0 {
		fmt.Fprintln(out, d.screen.paint(faint, "Percentiles are within 1%."))
	}
	return writeSparkline(out, d, s.History, step, s.At)
}

func also(n int64, what string) string {
	if n == 0 {
		return ""
	}
	return thousands(n) + " " + what
}

func oldestText(m penstock.Metrics) string {
	if m.OldestWaitingAge == 0 {
		return ""
	}
	return "the oldest for " + brief(&m.OldestWaitingAge).text
}

func runningText(m penstock.Metrics) string {
	if m.Slots == 0 {
		return thousands(m.Running) + ", no live worker"
	}
	return fmt.Sprintf("%s, %s of %s in use", thousands(m.Running), shareCell(m.Utilisation).text, plural(m.Slots, "slot"))
}

func otherEnds(m penstock.Metrics) string {
	var parts []string
	for _, end := range []struct {
		n    int64
		word string
	}{{m.Lost, "lost"}, {m.Snoozed, "snoozed"}, {m.Released, "released"}, {m.Cancelled, "cancelled"}, {m.Expired, "expired"}, {m.Died, "laid in the DLQ"}} {
		if end.n > 0 {
			parts = append(parts, thousands(end.n)+" "+end.word)
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
	return "in " + brief(m.TimeToDrain).text + " at these rates"
}

func oldest(m penstock.Metrics) cell {
	if m.OldestWaitingAge == 0 {
		return cell{text: "-", right: true, colour: faint}
	}
	return brief(&m.OldestWaitingAge)
}

func deadCell(n int64) cell {
	c := grouped(n)
	if n > 0 {
		c.colour = red
	}
	return c
}

// rate is a number per second with three digits that count.
func rate(perSecond float64) cell {
	switch {
	case perSecond >= 1000:
		return grouped(int64(perSecond + 0.5))
	case perSecond == 0:
		return cell{text: "0", right: true}
	case perSecond < 0.01:
		return cell{text: "<0.01", right: true}
	}
	return cell{text: strconv.FormatFloat(perSecond, 'f', decimals(perSecond), 64), right: true}
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
func shareCell(share *float64) cell {
	if share == nil {
		return cell{text: "-", right: true, colour: faint}
	}
	c := cell{right: true}
	switch p := *share * 100; {
	case p == 100 || p == 0:
		c.text = fmt.Sprintf("%.0f%%", p)
	case p >= 99.9 || p < 0.1:
		c.text = fmt.Sprintf("%.2f%%", min(max(p, 0.01), 99.99))
	default:
		c.text = fmt.Sprintf("%.1f%%", p)
	}
	return c
}

// brief is a duration with three digits that count: 412 µs, 12.3 ms, 1.23 s, 3.2 m.
func brief(d *penstock.Milliseconds) cell {
	if d == nil {
		return cell{text: "-", right: true, colour: faint}
	}
	c := cell{right: true}
	switch t := time.Duration(*d); {
	case t < time.Millisecond:
		c.text = fmt.Sprintf("%d µs", t.Microseconds())
	case t < time.Second:
		c.text = digits(t.Seconds()*1000) + " ms"
	case t < time.Minute:
		c.text = digits(t.Seconds()) + " s"
	case t < time.Hour:
		c.text = digits(t.Minutes()) + " m"
	case t < 48*time.Hour:
		c.text = digits(t.Hours()) + " h"
	default:
		c.text = digits(t.Hours()/24) + " d"
	}
	return c
}

func digits(f float64) string { return strconv.FormatFloat(f, 'f', decimals(f), 64) }
