package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
)

func newTask(d *deps) *cobra.Command {
	cmd := group("task", "List scheduled tasks, look at one, run, pause or change it", newTaskList(d), newTaskShow(d),
		newTaskRun(d), newTaskPause(d), newTaskResume(d), newTaskSet(d))
	cmd.Long = `List scheduled tasks, look at one, run, pause or change it.

Tasks are what servers and workers do for the database by the clock. Any of them may
run one, and only one of them does. A task that fails is tried again with growing waits.`
	return cmd
}

func newTaskList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the scheduled tasks and how their last runs went", Args: cobra.NoArgs}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		tasks, err := client.Tasks.List(ctx)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(d.stdout, struct {
				Tasks []penstock.Task `json:"tasks"`
			}{tasks})
		}
		list := table{heads: []string{"TASK", "SCHEDULE", "NEXT", "LAST", "TOOK", "RESULT"}}
		for _, t := range tasks {
			list.add(key(t.Name), text(scheduleText(t)), nextText(t, d.now()), dimmed(momentText(t.FinishedAt, d.now())),
				text(tookText(t.Duration)), resultCell(t.Outcome, t.Result, t.Error, t.ConsecutiveFailures))
		}
		return list.write(d.stdout, d.screen)
	})
}

func scheduleText(t penstock.Task) string {
	if t.TimeZone == "UTC" {
		return t.Schedule
	}
	return t.Schedule + " " + t.TimeZone
}

// nextText is what a task does now or next.
func nextText(t penstock.Task, now time.Time) cell {
	switch {
	case t.Running:
		return state("running")
	case t.AskedAt != nil:
		return cell{text: "asked for", colour: cyan}
	case t.Paused:
		return state("paused")
	case t.NextRunAt == nil:
		return text("")
	case t.NextRunAt.Before(now):
		return text("due " + ago(*t.NextRunAt, now))
	}
	return text(ago(*t.NextRunAt, now))
}

func momentText(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	return ago(*at, now)
}

func tookText(d *penstock.Milliseconds) string {
	if d == nil {
		return ""
	}
	return span(time.Duration(*d))
}

// resultCell is how a run went, on one line.
func resultCell(outcome penstock.TaskOutcome, result json.RawMessage, failure string, inARow int) cell {
	switch outcome {
	case penstock.TaskCompleted:
		if failure == "" {
			return text(countsText(result))
		}
	case penstock.TaskReleased:
		return text("released: its process stopped")
	case "":
		if failure == "" {
			return dimmed("never run")
		}
	}
	if inARow > 1 {
		failure = fmt.Sprintf("failed %d times: %s", inARow, failure)
	}
	return cell{text: plain(failure), colour: red}
}

// countsText is what a run did: "purged 3"; what it did none of is left out.
func countsText(result json.RawMessage) string {
	var counts map[string]json.Number
	if json.Unmarshal(orNull(result), &counts) != nil {
		return compact(result)
	}
	var words []string
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[what]; n != "0" {
			words = append(words, what+" "+n.String())
		}
	}
	if len(words) == 0 {
		return "nothing to do"
	}
	return strings.Join(words, ", ")
}

func newTaskShow(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show TASK", Short: "Show a scheduled task, its settings and its last runs",
		Args: cobra.ExactArgs(1), ValidArgsFunction: inOrder(d.taskNames),
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runTaskShow(ctx, d, client, args[0], asJSON)
	})
}

// taskRunsShown is a screenful.
const taskRunsShown = 10

func runTaskShow(ctx context.Context, d *deps, client *penstock.Client, name string, asJSON bool) error {
	t, err := client.Tasks.Get(ctx, name)
	if err != nil {
		return err
	}
	runs, err := client.Tasks.Runs(ctx, penstock.TaskRunQuery{Task: name, Limit: taskRunsShown})
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(d.stdout, struct {
			penstock.Task
			LastRuns []penstock.TaskRun `json:"lastRuns"`
		}{t, runs.Items})
	}
	if err := writeTask(d.stdout, d, t); err != nil || len(runs.Items) == 0 {
		return err
	}
	fmt.Fprintln(d.stdout)
	list := table{heads: []string{"STARTED", "TOOK", "OUTCOME", "BY", "RESULT"}}
	for _, r := range runs.Items {
		list.add(dimmed(ago(r.StartedAt, d.now())), text(tookText(&r.Duration)), state(string(r.Outcome)), text(r.Runner),
			resultCell(r.Outcome, r.Result, r.Error, 1))
	}
	return list.write(d.stdout, d.screen)
}

func writeTask(out io.Writer, d *deps, t penstock.Task) error {
	var f facts
	f.add("task", text(t.Name))
	f.add("does", text(t.Description))
	f.add("schedule", text(t.Schedule))
	f.add("time zone", text(t.TimeZone))
	for _, name := range slices.Sorted(maps.Keys(t.Limits)) {
		l := t.Limits[name]
		f.add(name, text(fmt.Sprintf("%s (%s to %s)", settingText(t.Settings[name], l.Unit), settingText(l.Least, l.Unit), settingText(l.Most, l.Unit))))
	}
	f.add("next", nextText(t, d.now()))
	f.add("last succeeded", text(momentText(t.SucceededAt, d.now())))
	f.add("runs", text(fmt.Sprintf("%s, %s failed", thousands(t.Runs), thousands(t.Failures))))
	if t.ConsecutiveFailures > 0 {
		f.add("failing", cell{text: plural(t.ConsecutiveFailures, "time") + " in a row", colour: red})
	}
	return f.write(out, d.screen, "")
}

// settingText is a setting as --setting takes it.
func settingText(n int64, unit string) string {
	switch unit {
	case "ms":
		return exact(time.Duration(n) * time.Millisecond)
	case "":
		return thousands(n)
	}
	return fmt.Sprintf("%d %s", n, unit)
}

func (d *deps) taskNames(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return d.fromDatabase(func(ctx context.Context, client *penstock.Client, _ []string) (names []cobra.Completion, err error) {
		tasks, err := client.Tasks.List(ctx)
		for _, t := range tasks {
			names = append(names, cobra.CompletionWithDesc(plain(t.Name), plain(t.Description)))
		}
		return names, err
	})(cmd, args, begun)
}

// taskHint is after how long a task that nobody begins is explained.
const taskHint = 5 * time.Second

func newTaskRun(d *deps) *cobra.Command {
	var detach bool
	var timeout wait
	cmd := &cobra.Command{
		Use: "run TASK", Short: "Have a scheduled task run now, paused or not, and wait for its end",
		Long: `Have a scheduled task run now, paused or not, and wait for its end. A server or worker
runs it; its schedule stays as it is. The exit code is 1 when the run failed.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: inOrder(d.taskNames),
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait")
	cmd.Flags().Var(&timeout, "timeout", "stop waiting after this long (default: never); the run goes on")
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		askedAt, err := client.Tasks.Run(ctx, args[0])
		if err != nil || detach {
			return err
		}
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(timeout), errors.New("the run has not ended in time; it goes on"))
			defer cancel()
		}
		hint := time.AfterFunc(taskHint, func() {
			fmt.Fprintln(d.stderr, "Still waiting: `penstock task show "+plain(args[0])+"` tells whether a server or worker has begun.")
		})
		defer hint.Stop()
		r, err := client.Tasks.Wait(ctx, args[0], askedAt)
		if err != nil {
			return err
		}
		if asJSON {
			err = writeJSON(d.stdout, r)
		} else if r.Outcome == penstock.TaskCompleted {
			_, err = fmt.Fprintf(d.stdout, "Task %s completed in %s: %s.\n", plain(r.Task), tookText(&r.Duration), countsText(r.Result))
		}
		if err == nil && r.Outcome != penstock.TaskCompleted {
			err = fmt.Errorf("task %s failed: %s", r.Task, r.Error)
		}
		return err
	})
}
