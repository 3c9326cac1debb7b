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
)

func newDLQ(d *deps) *cobra.Command {
	return group("dlq", "Look into the dead letter queue, send jobs back from it, purge it",
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
		Args: queueArgs(0, 1), ValidArgsFunction: inOrder(d.queueNames),
	}
	f.bind(cmd)
	p.bind(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		return p.begin(cmd, d.now())
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		query := penstock.DeadQuery{Queue: first(args), Filter: f.filter(cmd, p.asked), Limit: p.limit, Cursor: p.cursor}
		page, err := client.DLQ.List(ctx, query)
		if err != nil {
			return err
		}
		page.Next = p.next(page.Next, f.since, f.until)
		return writeDead(d.stdout, d, query, page, asJSON)
	})
}

func writeDead(out io.Writer, d *deps, query penstock.DeadQuery, page penstock.Page[penstock.DeadJob], asJSON bool) error {
	if asJSON {
		return writeJSON(out, struct {
			DeadJobs []penstock.DeadJob `json:"deadJobs"`
			Next     string             `json:"next,omitempty"`
		}{page.Items, page.Next})
	}
	if len(page.Items) == 0 && page.Next == "" {
		said := "No dead job matches."
		if query.Filter == (penstock.DeadFilter{}) && query.Cursor == "" {
			said = "The dead letter queue is empty."
			if query.Queue != "" {
				said = "The dead letter queue of " + plain(query.Queue) + " is empty."
			}
		}
		_, err := fmt.Fprintln(out, said)
		return err
	}
	if err := deadTable(d, page.Items, query.Queue == "").write(out, d.screen); err != nil {
		return err
	}
	return writeNext(out, len(page.Items), page.Next)
}

// deadTable lists entries; with the queue's column when they are of several.
func deadTable(d *deps, dead []penstock.DeadJob, several bool) *table {
	list := &table{heads: []string{"ENTRY", "NAME", "REASON", "FAILED", "ERROR"}}
	if several {
		list.heads = slices.Insert(list.heads, 1, "QUEUE")
	}
	for _, j := range dead {
		row := []cell{key(j.ID), text(j.Name), state(j.Reason), dimmed(ago(j.FailedAt, d.now())), text(errorText(j.ErrorClass, j.Error))}
		if several {
			row = slices.Insert(row, 1, text(j.Queue))
		}
		list.add(row...)
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
		return 0, usagef("an entry is dlq_<job>_<attempt>, as `penstock dlq list` prints it, or a job's id, got %q", clip(text, 60))
	}
	return strconv.ParseInt(parts[1]+parts[2], 10, 64)
}

// findEntry is where the dead job is that an entry's id, or a job's own, names; a job
// is dead at most once. Errors: penstock.ErrDeadJobNotFound, which tells where it went.
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
		Args: entryArg(0, 1), ValidArgsFunction: inOrder(func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return d.entries(cmd, nil, begun)
		}),
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, entry, err := findEntry(ctx, client, args[0])
		if err != nil {
			return err
		}
		dead, err := client.DLQ.Get(ctx, queue, entry)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(d.stdout, dead)
		}
		return writeDeadJob(d.stdout, d, dead)
	})
}

// entryArg takes n arguments, of which the one at place is an entry.
func entryArg(place, n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := queueArgs(n, n)(cmd, args); err != nil {
			return err
		}
		_, err := entryJob(args[place])
		return err
	}
}

func writeDeadJob(out io.Writer, d *deps, j penstock.DeadJob) error {
	now := d.now()
	var f facts
	f.add("entry", text(j.ID))
	f.add("job", number(j.JobID))
	f.add("queue", text(j.Queue))
	f.add("name", text(j.Name))
	f.add("reason", state(j.Reason))
	f.add("error", text(errorText(j.ErrorClass, j.Error)))
	if first := errorText(j.ErrorClass, j.Error); j.FirstError != first {
		f.add("first error", text(j.FirstError))
	}
	f.add("fingerprint", text(j.Fingerprint))
	f.add("failed", text(ago(j.FailedAt, now)))
	f.add("failures", text(fmt.Sprintf("%d of %d, %s, %s", j.Failures, j.MaxAttempts, plural(j.Attempts, "run"), crashesText(j.Crashes))))
	f.add("enqueued", text(ago(j.EnqueuedAt, now)))
	f.add("retry", text(retryText(j, d)))
	f.add("version", text(j.HandlerVersion))
	f.add("priority", number(j.Priority))
	f.add("tags", text(strings.Join(j.Tags, ", ")))
	if j.OriginID != 0 {
		f.add("redriven", text(fmt.Sprintf("from job %d, generation %d", j.OriginID, j.Generation)))
	}
	f.add("data", text(compact(j.Data)))
	if err := f.write(out, d.screen, ""); err != nil {
		return err
	}
	if j.Detail != "" {
		fmt.Fprintf(out, "\n%s\n%s\n", d.screen.paint(faint, "What its last attempt left:"), plainLines(j.Detail))
	}
	_, err := fmt.Fprintf(out, "\n%s penstock dlq retry %s %s\n", d.screen.paint(faint, "Send it back:"), plain(j.Queue), j.ID)
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
		return "by itself " + ago(*j.NextRetryAt, d.now())
	case j.CanRetry:
		return "by hand only: its retries by itself are used up, or its queue has none"
	}
	return "by hand only: its error is not one to retry"
}
