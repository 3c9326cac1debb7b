package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newDLQ(d *deps) *cobra.Command {
	return command.Group("dlq", "Look into the dead letter queue, send jobs back from it, purge it",
		newDLQList(d), newDLQShow(d), newDLQGroups(d), newDLQStats(d),
		newDLQRetry(d), newDLQRedrive(d), newDLQPurge(d), newDLQResolve(d), newDLQPolicy(d))
}

func newDLQList(d *deps) *cobra.Command {
	var f deadFlags
	var p paging
	cmd := &cobra.Command{
		Use:   "list [QUEUE]",
		Short: "List dead jobs, the newest first",
		Example: `  penstock dlq list mail --class SMTPError --since 2h
  penstock dlq list --where '$.customer == 42' --retryable`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	f.bind(cmd)
	p.bind(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		return p.begin(cmd, d.Now())
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		query := penstock.DeadQuery{Queue: first(args), Filter: f.filter(cmd, p.asked), Limit: p.limit, Cursor: p.cursor}
		page, err := client.DLQ.List(ctx, query)
		if err != nil {
			return err
		}
		page.Next = p.next(page.Next, f.since, f.until)
		return writeDead(d.Stdout, d, query, page, asJSON)
	})
}

func writeDead(out io.Writer, d *deps, query penstock.DeadQuery, page penstock.Page[penstock.DeadJob], asJSON bool) error {
	if asJSON {
		return writeItems(out, page.Items, page.Next)
	}
	if len(page.Items) == 0 && page.Next == "" {
		said := "No dead job matches."
		if query.Filter == (penstock.DeadFilter{}) && query.Cursor == "" {
			said = "The dead letter queue is empty."
			if query.Queue != "" {
				said = "The dead letter queue of " + terminal.Plain(query.Queue) + " is empty."
			}
		}
		_, err := fmt.Fprintln(out, said)
		return err
	}
	if err := deadTable(d, page.Items, query.Queue == "").Write(out, d.Screen); err != nil {
		return err
	}
	return writeNext(out, len(page.Items), page.Next)
}

// deadTable lists entries; with the queue's column when they are of several.
func deadTable(d *deps, dead []penstock.DeadJob, several bool) *terminal.Table {
	list := &terminal.Table{Heads: []string{"ENTRY", "NAME", "REASON", "FAILED", "ERROR"}}
	if several {
		list.Heads = slices.Insert(list.Heads, 1, "QUEUE")
	}
	for _, j := range dead {
		row := []terminal.Cell{terminal.Key(j.ID), terminal.Text(j.Name), state(j.Reason), terminal.Dimmed(terminal.Ago(j.FailedAt, d.Now())), terminal.Text(errorText(j.ErrorClass, j.Error))}
		if several {
			row = slices.Insert(row, 1, terminal.Text(j.Queue))
		}
		list.Add(row...)
	}
	return list
}

// errorText is an error on a line, its class first.
func errorText(class, message string) string {
	if message == "" {
		return class
	}
	return class + ": " + message
}

var entryOrID = regexp.MustCompile(`^(?:dlq_(\d{1,18})_\d{1,9}|(\d{1,18}))$`)

// entryJob is the job that an entry's id, or a job's own, names.
func entryJob(text string) (int64, error) {
	parts := entryOrID.FindStringSubmatch(text)
	if parts == nil {
		return 0, command.Usagef("an entry is dlq_<job>_<attempt>, as `penstock dlq list` prints it, or a job's id, got %q", terminal.Clip(text, 60))
	}
	return strconv.ParseInt(parts[1]+parts[2], 10, 64)
}

// findEntry is where the dead job is that an entry's id, or a job's own, names; a job
// is dead at most once. Errors: penstock.ErrDeadJobNotFound, which says where it went.
func findEntry(ctx context.Context, client *penstock.Client, named string) (queue, entry string, err error) {
	id, err := entryJob(named)
	if err != nil {
		return "", "", err
	}
	e, err := client.Explain(ctx, id)
	if err != nil {
		return "", "", err
	}
	for _, r := range e.Reasons {
		if r.Code != "dead" {
			continue
		}
		entry, _ = r.Facts["entry"].(string)
		if strings.HasPrefix(named, "dlq_") && named != entry {
			return "", "", fmt.Errorf("%s is of an earlier death, the job died again as %s: %w", named, entry, penstock.ErrDeadJobNotFound)
		}
		return e.Queue, entry, nil
	}
	where := "it is " + string(e.State)
	if len(e.Reasons) > 0 && (e.State == penstock.Redriven || e.State == penstock.Purged) {
		where = e.Reasons[0].Message
	}
	return "", "", fmt.Errorf("job %d is not in the dead letter queue, %s: %w", id, where, penstock.ErrDeadJobNotFound)
}

func newDLQShow(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ENTRY", Short: "Show a dead job: what was asked, and what it died of",
		Long: `Show a dead job: what was asked, and what it died of. ENTRY is dlq_<job>_<attempt>, as
"dlq list" prints it, or the job's id.`,
		Args: entryArg, ValidArgsFunction: inOrder(d.entries),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, entry, err := findEntry(ctx, client, args[0])
		if err != nil {
			return err
		}
		dead, err := client.DLQ.Get(ctx, queue, entry)
		if err != nil {
			return err
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, dead)
		}
		return writeDeadJob(d.Stdout, d, dead)
	})
}

// entryArg takes one argument, an entry.
func entryArg(cmd *cobra.Command, args []string) error {
	if err := command.Arguments(cmd, args); err != nil {
		return err
	}
	_, err := entryJob(args[0])
	return err
}

func writeDeadJob(out io.Writer, d *deps, j penstock.DeadJob) error {
	now := d.Now()
	var f terminal.Facts
	f.Add("entry", terminal.Text(j.ID))
	f.Add("job", terminal.Number(j.JobID))
	f.Add("queue", terminal.Text(j.Queue))
	f.Add("name", terminal.Text(j.Name))
	f.Add("reason", state(j.Reason))
	f.Add("error", terminal.Text(errorText(j.ErrorClass, j.Error)))
	if first := errorText(j.ErrorClass, j.Error); j.FirstError != first {
		f.Add("first error", terminal.Text(j.FirstError))
	}
	f.Add("fingerprint", terminal.Text(j.Fingerprint))
	f.Add("failed", terminal.Text(terminal.Moment(j.FailedAt, now)))
	f.Add("failures", terminal.Text(fmt.Sprintf("%d of %d, %s, %s", j.Failures, j.MaxAttempts, terminal.Plural(j.Attempts, "run"), crashesText(j.Crashes))))
	f.Add("enqueued", terminal.Text(terminal.Moment(j.EnqueuedAt, now)))
	f.Add("retry", terminal.Text(retryText(j, d)))
	f.Add("version", terminal.Text(j.HandlerVersion))
	f.Add("priority", terminal.Number(j.Priority))
	f.Add("tags", terminal.Text(strings.Join(j.Tags, ", ")))
	if j.OriginID != 0 {
		f.Add("redriven", terminal.Text(fmt.Sprintf("from job %d, generation %d", j.OriginID, j.Generation)))
	}
	f.Add("data", terminal.Text(compact(j.Data)))
	if err := f.Write(out, d.Screen, ""); err != nil {
		return err
	}
	if j.Detail != "" {
		fmt.Fprintf(out, "\n%s\n%s\n", d.Screen.Paint(terminal.Faint, "What its last attempt left:"), terminal.PlainLines(j.Detail))
	}
	_, err := fmt.Fprintf(out, "\n%s penstock dlq retry %s\n", d.Screen.Paint(terminal.Faint, "Send it back:"), j.ID)
	return err
}

func crashesText(n int) string {
	if n == 1 {
		return "1 crash"
	}
	return fmt.Sprintf("%d crashes", n)
}

// retryText is what becomes of the entry by itself.
func retryText(j penstock.DeadJob, d *deps) string {
	switch {
	case j.NextRetryAt != nil:
		return "by itself " + terminal.Ago(*j.NextRetryAt, d.Now())
	case j.CanRetry:
		return "by hand only: its retries by itself are used up, or its queue has none"
	}
	return "by hand only: its error is not one to retry"
}
