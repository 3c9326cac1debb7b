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
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newTask(d *deps) *cobra.Command {
	cmd := command.Group("task", "List scheduled tasks, look at one, run, pause or change it", newTaskList(d), newTaskShow(d),
		newTaskRun(d), newTaskPause(d), newTaskResume(d), newTaskSet(d))
	cmd.Long = `List scheduled tasks, look at one, run, pause or change it.

Tasks are what servers and workers do for the database by the clock. Any of them may
run one, and only one of them does. A task that fails is tried again with growing waits.`
	return cmd
}

func newTaskList(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the scheduled tasks and how their last runs went", Args: command.Arguments}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		tasks, err := client.Tasks.List(ctx)
		if err != nil {
			return err
		}
		if asJSON {
			return writeItems(d.Stdout, tasks, "")
		}
		list := terminal.Table{Heads: []string{"TASK", "SCHEDULE", "NEXT", "LAST", "TOOK", "RESULT"}}
		for _, t := range tasks {
			list.Add(terminal.Key(t.Name), terminal.Text(scheduleText(t)), nextText(t, d.Now()), terminal.Dimmed(momentText(t.FinishedAt, d.Now())),
				terminal.Text(tookText(t.Duration)), resultCell(t.Outcome, t.Result, t.Error, t.ConsecutiveFailures))
		}
		return list.Write(d.Stdout, d.Screen)
	})
}

func scheduleText(t penstock.Task) string {
	if t.TimeZone == "UTC" {
		return t.Schedule
	}
	return t.Schedule + " " + t.TimeZone
}

// nextText is what a task does now or next.
func nextText(t penstock.Task, now time.Time) terminal.Cell {
	switch {
	case t.Running:
		return state("running")
	case t.AskedAt != nil:
		return terminal.Cell{Text: "asked for", Colour: terminal.Cyan}
	case t.Paused:
		return state("paused")
	case t.NextRunAt == nil:
		return terminal.Text("")
	case t.NextRunAt.Before(now):
		return terminal.Text("due " + terminal.Ago(*t.NextRunAt, now))
	}
	return terminal.Text(terminal.Ago(*t.NextRunAt, now))
}

func momentText(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	return terminal.Ago(*at, now)
}

func tookText(d *penstock.Milliseconds) string {
	if d == nil {
		return ""
	}
	return terminal.Duration(time.Duration(*d))
}

// resultCell is how a run went, on one line.
func resultCell(outcome penstock.TaskOutcome, result json.RawMessage, failure string, inARow int) terminal.Cell {
	switch outcome {
	case penstock.TaskCompleted:
		if failure == "" {
			return terminal.Text(countsText(result))
		}
	case penstock.TaskReleased:
		return terminal.Text("released: its process stopped")
	case "":
		if failure == "" {
			return terminal.Dimmed("never run")
		}
	}
	if inARow > 1 {
		failure = fmt.Sprintf("failed %s: %s", terminal.Plural(inARow, "time"), failure)
	}
	return terminal.Cell{Text: terminal.Plain(failure), Colour: terminal.Red}
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
		Args: command.Arguments, ValidArgsFunction: inOrder(d.taskNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
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
		return terminal.WriteJSON(d.Stdout, struct {
			penstock.Task
			LastRuns []penstock.TaskRun `json:"lastRuns"`
		}{t, runs.Items})
	}
	if err := writeTask(d.Stdout, d, t); err != nil || len(runs.Items) == 0 {
		return err
	}
	fmt.Fprintln(d.Stdout)
	list := terminal.Table{Heads: []string{"STARTED", "TOOK", "OUTCOME", "BY", "RESULT"}}
	for _, r := range runs.Items {
		list.Add(terminal.Dimmed(terminal.Ago(r.StartedAt, d.Now())), terminal.Text(tookText(&r.Duration)), state(string(r.Outcome)), terminal.Text(r.Runner),
			resultCell(r.Outcome, r.Result, r.Error, 1))
	}
	return list.Write(d.Stdout, d.Screen)
}

func writeTask(out io.Writer, d *deps, t penstock.Task) error {
	var f terminal.Facts
	f.Add("task", terminal.Text(t.Name))
	f.Add("does", terminal.Text(t.Description))
	f.Add("schedule", terminal.Text(t.Schedule))
	f.Add("time zone", terminal.Text(t.TimeZone))
	for _, name := range slices.Sorted(maps.Keys(t.Limits)) {
		l := t.Limits[name]
		f.Add(name, terminal.Text(fmt.Sprintf("%s (%s to %s)", settingText(t.Settings[name], l.Unit), settingText(l.Least, l.Unit), settingText(l.Most, l.Unit))))
	}
	f.Add("next", nextText(t, d.Now()))
	f.Add("last succeeded", terminal.Text(momentText(t.SucceededAt, d.Now())))
	f.Add("runs", terminal.Text(fmt.Sprintf("%s, %s failed", terminal.Thousands(t.Runs), terminal.Thousands(t.Failures))))
	if t.ConsecutiveFailures > 0 {
		f.Add("failing", terminal.Cell{Text: terminal.Plural(t.ConsecutiveFailures, "time") + " in a row", Colour: terminal.Red})
	}
	return f.Write(out, d.Screen, "")
}

// settingText is a setting as --setting takes it.
func settingText(n int64, unit string) string {
	switch unit {
	case "ms":
		return terminal.Exact(time.Duration(n) * time.Millisecond)
	case "":
		return terminal.Thousands(n)
	}
	return terminal.Plural(n, strings.TrimSuffix(unit, "s"))
}

func (d *deps) taskNames(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return d.fromDatabase(func(ctx context.Context, client *penstock.Client, _ []string) (names []cobra.Completion, err error) {
		tasks, err := client.Tasks.List(ctx)
		for _, t := range tasks {
			names = append(names, cobra.CompletionWithDesc(terminal.Plain(t.Name), terminal.Plain(t.Description)))
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
		Args: command.Arguments, ValidArgsFunction: inOrder(d.taskNames),
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait")
	cmd.Flags().Var(&timeout, "timeout", "stop waiting after this long (default: never); the run goes on")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
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
			fmt.Fprintln(d.Stderr, "Still waiting: `penstock task show "+terminal.Plain(args[0])+"` tells whether a server or worker has begun.")
		})
		defer hint.Stop()
		r, err := client.Tasks.Wait(ctx, args[0], askedAt)
		if err != nil {
			return err
		}
		if asJSON {
			err = terminal.WriteJSON(d.Stdout, r)
		} else if r.Outcome == penstock.TaskCompleted {
			_, err = fmt.Fprintf(d.Stdout, "Task %s completed in %s: %s.\n", terminal.Plain(r.Task), tookText(&r.Duration), countsText(r.Result))
		}
		if err == nil && r.Outcome != penstock.TaskCompleted {
			err = fmt.Errorf("task %s failed: %s", r.Task, r.Error)
		}
		return err
	})
}
