package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
)

func newDLQGroups(d *deps) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "groups [QUEUE]", Short: "Group dead jobs by what they died of, the most frequent first",
		Args: queueArgs(0, 1), ValidArgsFunction: inOrder(d.queueNames),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 500 {
				return usagef("dlq groups: --limit must be 1 to 500, got %d", limit)
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many to list, 1 to 500")
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		groups, err := client.DLQ.Groups(ctx, first(args), limit)
		if err != nil {
			return err
		}
		return writeGroups(d.stdout, d, groups, asJSON)
	})
}

func writeGroups(out io.Writer, d *deps, groups []penstock.ErrorGroup, asJSON bool) error {
	if asJSON {
		return writeJSON(out, struct {
			ErrorGroups []penstock.ErrorGroup `json:"errorGroups"`
		}{groups})
	}
	if len(groups) == 0 {
		_, err := fmt.Fprintln(out, "Nothing is dead.")
		return err
	}
	list := table{heads: []string{"JOBS", "QUEUE", "FINGERPRINT", "STATE", "LAST SEEN", "EXAMPLE"}}
	for _, g := range groups {
		how := "open"
		if g.Resolved {
			how = "resolved"
		}
		list.add(grouped(g.Jobs), text(g.Queue), key(g.Fingerprint), state(how), dimmed(ago(g.LastSeen, d.now())),
			text(errorText(g.Class, g.Example)))
	}
	return list.write(out, d.screen)
}

func newDLQResolve(d *deps) *cobra.Command {
	var reopen bool
	cmd := &cobra.Command{
		Use: "resolve QUEUE FINGERPRINT", Short: "Mark an error group resolved; it is open again when a job dies of it",
		Args: queueArgs(2, 2), ValidArgsFunction: inOrder(d.queueNames, d.fingerprints),
	}
	cmd.Flags().BoolVar(&reopen, "reopen", false, "mark it open instead")
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, fingerprint := args[0], args[1]
		if err := client.DLQ.ResolveGroup(ctx, queue, fingerprint, !reopen); err != nil {
			return err
		}
		if asJSON {
			return writeJSON(d.stdout, struct {
				Queue       string `json:"queueName"`
				Fingerprint string `json:"fingerprint"`
				Resolved    bool   `json:"resolved"`
			}{queue, fingerprint, !reopen})
		}
		how := "resolved"
		if reopen {
			how = "open"
		}
		_, err := fmt.Fprintf(d.stdout, "Error group %s of queue %s is %s.\n", plain(fingerprint), plain(queue), how)
		return err
	})
}

func newDLQStats(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "stats [QUEUE]", Short: "Sum up the dead letter queue: by reason, class and name, and what left it",
		Args: queueArgs(0, 1), ValidArgsFunction: inOrder(d.queueNames),
	}
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		stats, err := client.DLQ.Stats(ctx, first(args))
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(d.stdout, stats)
		}
		return writeStats(d.stdout, d, stats)
	})
}

func writeStats(out io.Writer, d *deps, s penstock.DeadStats) error {
	var f facts
	f.add("dead", text(thousands(s.Total)))
	f.add("retryable", text(fmt.Sprintf("%s, %s will be redriven by themselves", thousands(s.Retryable), thousands(s.Scheduled))))
	f.add("not retryable", text(thousands(s.NonRetryable)))
	if s.Oldest != nil && s.Newest != nil {
		f.add("oldest", text(ago(*s.Oldest, d.now())))
		f.add("newest", text(ago(*s.Newest, d.now())))
	}
	if err := f.write(out, d.screen, ""); err != nil {
		return err
	}
	for _, by := range []struct {
		head   string
		counts []penstock.Count
	}{{"REASON", s.ByReason}, {"CLASS", s.ByClass}, {"NAME", s.ByName}} {
		list := table{heads: []string{"JOBS", by.head}}
		for _, c := range by.counts {
			value := text(c.Value)
			value.colour = stateColour(c.Value)
			list.add(grouped(c.Jobs), value)
		}
		if err := writeBelow(out, d, list); err != nil {
			return err
		}
	}
	left := table{heads: []string{"DAY (UTC)", "REDRIVEN", "PURGED"}}
	for _, l := range s.Left {
		left.add(text(l.Day.Format(time.DateOnly)), grouped(l.Redriven), grouped(l.Purged))
	}
	return writeBelow(out, d, left)
}

// writeBelow writes a table after an empty line, and nothing when it has no rows.
func writeBelow(out io.Writer, d *deps, list table) error {
	if len(list.rows) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	return list.write(out, d.screen)
}
