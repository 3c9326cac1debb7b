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
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newJobGet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show a job: what was asked, where it is, how its attempts went",
		Args: jobID,
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runJobGet(ctx, d, client, d.Stdout, args, asJSON)
	})
}

func runJobGet(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, args []string, asJSON bool) error {
	id, err := parseID(args[0])
	if err != nil {
		return err
	}
	job, err := client.Job(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, job)
	}
	return writeJob(out, d, job)
}

func writeJob(out io.Writer, d *deps, job *penstock.JobInfo) error {
	now := d.Now()
	var f terminal.Facts
	f.Add("job", terminal.Number(job.ID))
	f.Add("queue", terminal.Text(job.Queue))
	f.Add("name", terminal.Text(job.Name))
	f.Add("state", state(string(job.State)))
	if job.CancelRequested {
		f.Add("cancel", state("cancelling"))
	}
	f.Add("progress", terminal.Text(progressText(job)))
	f.Add("priority", terminal.Number(job.Priority))
	f.Add("attempts", terminal.Text(fmt.Sprintf("%d, %d failed", job.Attempt, job.Failures)))
	f.Add("enqueued", terminal.Text(terminal.Moment(job.EnqueuedAt, now)))
	f.Add(momentOf(job, now))
	if job.ExpiresAt != nil && job.FinishedAt == nil {
		f.Add("expires", terminal.Text(terminal.Moment(*job.ExpiresAt, now)))
	}
	f.Add("tags", terminal.Text(strings.Join(job.Tags, ", ")))
	if job.State == penstock.DeadState {
		f.Add("entry", terminal.Text(fmt.Sprintf("dlq_%d_%d", job.ID, job.Attempt)))
	}
	if job.OriginID != 0 {
		f.Add("redriven", terminal.Text(fmt.Sprintf("from job %d, generation %d", job.OriginID, job.Generation)))
	}
	if job.RedrivenAs != 0 {
		f.Add("redriven", terminal.Text(fmt.Sprintf("as job %d", job.RedrivenAs)))
	}
	if len(job.Descendants) > 1 {
		f.Add("descendants", terminal.Text(joinIDs(job.Descendants)))
	}
	f.Add("data", terminal.Text(compact(job.Data)))
	if err := f.Write(out, d.Screen, ""); err != nil || len(job.Attempts) == 0 {
		return err
	}
	fmt.Fprintln(out)
	return writeAttempts(out, d, job.Attempts)
}

// momentOf is the moment that a job in its state turns on, and what to call it.
func momentOf(job *penstock.JobInfo, now time.Time) (label string, moment terminal.Cell) {
	at := job.RunAt
	switch {
	case job.FinishedAt != nil:
		label, at = "finished", *job.FinishedAt
	case job.ClaimedAt != nil:
		label, at = "running since", *job.ClaimedAt
	default:
		label = "due"
	}
	return label, terminal.Text(terminal.Moment(at, now))
}

// whenText is the moment that a job in its state turns on, for a list.
func whenText(job *penstock.JobInfo, now time.Time) string {
	switch {
	case job.FinishedAt != nil:
		return terminal.Ago(*job.FinishedAt, now)
	case job.ClaimedAt != nil:
		return "for " + terminal.Span(max(now.Sub(*job.ClaimedAt), 0))
	}
	return terminal.Ago(job.RunAt, now)
}

func progressText(job *penstock.JobInfo) string {
	if job.Progress == nil {
		return ""
	}
	text := fmt.Sprintf("%d%%", *job.Progress)
	if job.ProgressNote != "" {
		text += ", " + job.ProgressNote
	}
	return text
}

func joinIDs(ids []int64) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(words, ", ")
}

// endedText is the moment of an attempt's end: by the clock where there is room for it.
func endedText(d *deps, at time.Time) string {
	const roomy = 110
	if d.Screen.Width > 0 && d.Screen.Width < roomy {
		return terminal.Ago(at, d.Now())
	}
	return at.UTC().Format(time.DateTime)
}

func writeAttempts(out io.Writer, d *deps, attempts []penstock.AttemptInfo) error {
	list := terminal.Table{Heads: []string{"ATTEMPT", "OUTCOME", "ENDED", "WAITED", "RAN", "WORKER", "MESSAGE"}}
	for _, a := range attempts {
		waited, ran, by := "", "", ""
		if a.Wait != nil && a.Ran != nil {
			waited, ran = terminal.Duration(max(time.Duration(*a.Wait), 0)), terminal.Duration(max(time.Duration(*a.Ran), 0))
		}
		if a.WorkerID != 0 {
			by = strconv.FormatInt(a.WorkerID, 10)
		}
		list.Add(terminal.Number(a.Attempt), state(a.Outcome), terminal.Dimmed(endedText(d, a.FinishedAt)), terminal.Text(waited), terminal.Text(ran),
			terminal.Text(by), terminal.Text(messageText(a)))
	}
	if err := list.Write(out, d.Screen); err != nil {
		return err
	}
	for _, a := range slices.Backward(attempts) {
		if a.Detail == "" {
			continue
		}
		_, err := fmt.Fprintf(out, "\n%s\n%s\n", d.Screen.Paint(terminal.Faint, fmt.Sprintf("What attempt %d left:", a.Attempt)), terminal.PlainLines(a.Detail))
		return err
	}
	return nil
}

// messageText is an attempt's error or result, after how far it came if it did not finish.
func messageText(a penstock.AttemptInfo) string {
	said := a.Message
	if a.ErrorClass != "" {
		said = a.ErrorClass + ": " + a.Message
	} else if a.Result != nil {
		said = compact(a.Result)
	}
	if a.Progress != nil && a.Outcome != "completed" {
		said = strings.TrimSpace(fmt.Sprintf("at %d%% %s", *a.Progress, said))
	}
	return said
}

func newJobList(d *deps) *cobra.Command {
	var f jobFlags
	var p paging
	cmd := &cobra.Command{
		Use: "list [QUEUE]", Short: "List jobs, the newest first",
		Long: `List jobs, the newest first. The filters are those of job cancel, reprioritize,
reschedule and run-now; --queue is another way to give QUEUE.`,
		Example: `  penstock job list mail --state retrying --since 2h
  penstock job list --where '$.customer == 42'`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	f.bind(d, cmd)
	p.bind(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if named := first(args); named != "" {
			if f.queue != "" && f.queue != named {
				return command.Usagef("job list: QUEUE is %q and --queue is %q; give one", named, f.queue)
			}
			f.queue = named
		}
		if err := f.checkState(cmd, jobStates); err != nil {
			return err
		}
		return p.begin(cmd, d.Now())
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		page, err := client.Jobs(ctx, penstock.JobQuery{Filter: f.filter(p.asked), Limit: p.limit, Cursor: p.cursor})
		if err != nil {
			return err
		}
		page.Next = p.next(page.Next, f.since, f.until)
		return writeJobs(d.Stdout, d, page, f.queue == "", asJSON)
	})
}

func writeJobs(out io.Writer, d *deps, page penstock.Page[penstock.JobInfo], several, asJSON bool) error {
	if asJSON {
		return writeItems(out, page.Items, page.Next)
	}
	if len(page.Items) == 0 && page.Next == "" {
		_, err := fmt.Fprintln(out, "No job matches.")
		return err
	}
	if err := jobTable(d, page.Items, several).Write(out, d.Screen); err != nil {
		return err
	}
	return writeNext(out, len(page.Items), page.Next)
}

// jobTable lists jobs; with the queue's column when they are of several.
func jobTable(d *deps, jobs []penstock.JobInfo, several bool) *terminal.Table {
	list := &terminal.Table{Heads: []string{"JOB", "NAME", "STATE", "WHEN", "PRIORITY", "DATA"}}
	if several {
		list.Heads = slices.Insert(list.Heads, 1, "QUEUE")
	}
	for i := range jobs {
		j := &jobs[i]
		when := whenText(j, d.Now())
		row := []terminal.Cell{terminal.Number(j.ID), terminal.Text(j.Name), state(string(j.State)), terminal.Dimmed(when), terminal.Number(j.Priority), terminal.Text(compact(j.Data))}
		if several {
			row = slices.Insert(row, 1, terminal.Text(j.Queue))
		}
		list.Add(row...)
	}
	return list
}

// writeNext says how to go on with a list of which n were shown. A page can be empty
// and not the last: few rows satisfy the filter, and a page reads only so many.
func writeNext(out io.Writer, n int, next string) error {
	if next == "" {
		return nil
	}
	there := "There may be more"
	if n == 0 {
		there = "None so far, but there may be some"
	}
	_, err := fmt.Fprintf(out, "%s: go on with the same command and\n  --cursor %s\n", there, next)
	return err
}
