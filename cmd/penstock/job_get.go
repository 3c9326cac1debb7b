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

func newJobGet(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show a job: what was asked, where it is, how its attempts went",
		Args: jobID,
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		return runJobGet(ctx, d, client, d.stdout, args, asJSON)
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
		return writeJSON(out, job)
	}
	return writeJob(out, d, job)
}

func writeJob(out io.Writer, d *deps, job *penstock.JobInfo) error {
	now := d.now()
	var f facts
	f.add("job", number(job.ID))
	f.add("queue", text(job.Queue))
	f.add("name", text(job.Name))
	f.add("state", state(string(job.State)))
	if job.CancelRequested {
		f.add("cancel", state("cancelling"))
	}
	f.add("progress", text(progressText(job)))
	f.add("priority", number(job.Priority))
	f.add("attempts", text(fmt.Sprintf("%d, %d failed", job.Attempt, job.Failures)))
	f.add("enqueued", text(ago(job.EnqueuedAt, now)))
	label, when := whenText(job, now)
	f.add(label, text(when))
	if job.ExpiresAt != nil && job.FinishedAt == nil {
		f.add("expires", text(ago(*job.ExpiresAt, now)))
	}
	f.add("tags", text(strings.Join(job.Tags, ", ")))
	if job.State == penstock.DeadState {
		f.add("entry", text(fmt.Sprintf("dlq_%d_%d", job.ID, job.Attempt)))
	}
	if job.OriginID != 0 {
		f.add("redriven", text(fmt.Sprintf("from job %d, generation %d", job.OriginID, job.Generation)))
	}
	if job.RedrivenAs != 0 {
		f.add("redriven", text(fmt.Sprintf("as job %d", job.RedrivenAs)))
	}
	if len(job.Descendants) > 1 {
		f.add("descendants", text(joinIDs(job.Descendants)))
	}
	f.add("data", text(compact(job.Data)))
	if err := f.write(out, d.screen, ""); err != nil || len(job.Attempts) == 0 {
		return err
	}
	fmt.Fprintln(out)
	return writeAttempts(out, d, job.Attempts)
}

// whenText is the moment that a job in its state turns on, and what to call it.
func whenText(job *penstock.JobInfo, now time.Time) (label, when string) {
	switch {
	case job.FinishedAt != nil:
		return "finished", ago(*job.FinishedAt, now)
	case job.ClaimedAt != nil:
		return "running", "for " + span(max(now.Sub(*job.ClaimedAt), 0))
	}
	return "due", ago(job.RunAt, now)
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

func writeAttempts(out io.Writer, d *deps, attempts []penstock.AttemptInfo) error {
	list := table{heads: []string{"ATTEMPT", "OUTCOME", "ENDED", "WAITED", "RAN", "WORKER", "SAID"}}
	for _, a := range attempts {
		waited, ran, by := "", "", ""
		if a.Wait != nil && a.Ran != nil {
			waited, ran = span(max(time.Duration(*a.Wait), 0)), span(max(time.Duration(*a.Ran), 0))
		}
		if a.WorkerID != 0 {
			by = strconv.FormatInt(a.WorkerID, 10)
		}
		list.add(number(a.Attempt), state(a.Outcome), dimmed(ago(a.FinishedAt, d.now())), text(waited), text(ran),
			text(by), text(saidText(a)))
	}
	if err := list.write(out, d.screen); err != nil {
		return err
	}
	for _, a := range slices.Backward(attempts) {
		if a.Detail == "" {
			continue
		}
		_, err := fmt.Fprintf(out, "\n%s\n%s\n", d.screen.paint(faint, fmt.Sprintf("What attempt %d left:", a.Attempt)), plainLines(a.Detail))
		return err
	}
	return nil
}

// saidText is an attempt's error or result, after how far it came if it did not finish.
func saidText(a penstock.AttemptInfo) string {
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
		Use: "list", Short: "List jobs, the newest first",
		Example: `  penstock job list --queue mail --state retrying --since 2h
  penstock job list --where '$.customer == 42'`,
		Args: cobra.NoArgs,
	}
	f.bind(d, cmd)
	p.bind(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.checkState(cmd, jobStates); err != nil {
			return err
		}
		return p.begin(cmd, d.now())
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, _ []string, asJSON bool) error {
		page, err := client.Jobs(ctx, penstock.JobQuery{Filter: f.filter(p.asked), Limit: p.limit, Cursor: p.cursor})
		if err != nil {
			return err
		}
		page.Next = p.next(page.Next, f.since, f.until)
		return writeJobs(d.stdout, d, page, f.queue == "", asJSON)
	})
}

func writeJobs(out io.Writer, d *deps, page penstock.Page[penstock.JobInfo], several, asJSON bool) error {
	if asJSON {
		return writeJSON(out, struct {
			Jobs []penstock.JobInfo `json:"jobs"`
			Next string             `json:"next,omitempty"`
		}{page.Items, page.Next})
	}
	if len(page.Items) == 0 && page.Next == "" {
		_, err := fmt.Fprintln(out, "No job matches.")
		return err
	}
	if err := jobTable(d, page.Items, several).write(out, d.screen); err != nil {
		return err
	}
	return writeNext(out, len(page.Items), page.Next)
}

// jobTable lists jobs; with the queue's column when they are of several.
func jobTable(d *deps, jobs []penstock.JobInfo, several bool) *table {
	list := &table{heads: []string{"JOB", "NAME", "STATE", "WHEN", "PRIORITY", "DATA"}}
	if several {
		list.heads = slices.Insert(list.heads, 1, "QUEUE")
	}
	for i := range jobs {
		j := &jobs[i]
		_, when := whenText(j, d.now())
		row := []cell{number(j.ID), text(j.Name), state(string(j.State)), dimmed(when), number(j.Priority), text(compact(j.Data))}
		if several {
			row = slices.Insert(row, 1, text(j.Queue))
		}
		list.add(row...)
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
