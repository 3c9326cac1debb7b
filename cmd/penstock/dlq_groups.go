package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newDLQGroups(d *deps) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "groups [QUEUE]", Short: "Group dead jobs by what they died of, the most frequent first",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 500 {
				return command.Usagef("dlq groups: --limit must be 1 to 500, got %d", limit)
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many to list, 1 to 500")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		groups, err := client.DLQ.Groups(ctx, first(args), limit)
		if err != nil {
			return err
		}
		return writeGroups(d.Stdout, d, groups, asJSON)
	})
}

func writeGroups(out io.Writer, d *deps, groups []penstock.ErrorGroup, asJSON bool) error {
	if asJSON {
		return writeItems(out, groups, "")
	}
	if len(groups) == 0 {
		_, err := fmt.Fprintln(out, "Nothing is dead.")
		return err
	}
	list := terminal.Table{Heads: []string{"JOBS", "QUEUE", "FINGERPRINT", "STATE", "LAST SEEN", "EXAMPLE"}}
	for _, g := range groups {
		how := "open"
		if g.Resolved {
			how = "resolved"
		}
		list.Add(terminal.Grouped(g.Jobs), terminal.Text(g.Queue), terminal.Key(g.Fingerprint), state(how), terminal.Dimmed(terminal.Ago(g.LastSeen, d.Now())),
			terminal.Text(errorText(g.Class, g.Example)))
	}
	return list.Write(out, d.Screen)
}

func newDLQResolve(d *deps) *cobra.Command {
	var reopen bool
	cmd := &cobra.Command{
		Use: "resolve QUEUE FINGERPRINT", Short: "Mark an error group resolved; it is open again when a job dies of it",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames, d.fingerprints),
	}
	cmd.Flags().BoolVar(&reopen, "reopen", false, "mark it open instead")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		queue, fingerprint := args[0], args[1]
		if err := client.DLQ.ResolveGroup(ctx, queue, fingerprint, !reopen); err != nil {
			return err
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, struct {
				Queue       string `json:"queueName"`
				Fingerprint string `json:"fingerprint"`
				Resolved    bool   `json:"resolved"`
			}{queue, fingerprint, !reopen})
		}
		how := "resolved"
		if reopen {
			how = "open"
		}
		_, err := fmt.Fprintf(d.Stdout, "Error group %s of queue %s is %s.\n", terminal.Plain(fingerprint), terminal.Plain(queue), how)
		return err
	})
}

func newDLQStats(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use: "stats [QUEUE]", Short: "Sum up the dead letter queue: by reason, class and name, and what left it",
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		stats, err := client.DLQ.Stats(ctx, first(args))
		if err != nil {
			return err
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, stats)
		}
		return writeStats(d.Stdout, d, stats)
	})
}

func writeStats(out io.Writer, d *deps, s penstock.DeadStats) error {
	var f terminal.Facts
	f.Add("dead", terminal.Text(terminal.Thousands(s.Total)))
	f.Add("retryable", terminal.Text(fmt.Sprintf("%s, %s will be redriven by themselves", terminal.Thousands(s.Retryable), terminal.Thousands(s.Scheduled))))
	f.Add("not retryable", terminal.Text(terminal.Thousands(s.NonRetryable)))
	if s.Oldest != nil && s.Newest != nil {
		f.Add("oldest", terminal.Text(terminal.Ago(*s.Oldest, d.Now())))
		f.Add("newest", terminal.Text(terminal.Ago(*s.Newest, d.Now())))
	}
	if err := f.Write(out, d.Screen, ""); err != nil {
		return err
	}
	for _, by := range []struct {
		head   string
		counts []penstock.Count
	}{{"REASON", s.ByReason}, {"CLASS", s.ByClass}, {"NAME", s.ByName}} {
		list := terminal.Table{Heads: []string{"JOBS", by.head}}
		for _, c := range by.counts {
			value := terminal.Text(c.Value)
			value.Colour = stateColour(c.Value)
			list.Add(terminal.Grouped(c.Jobs), value)
		}
		if err := writeBelow(out, d, list); err != nil {
			return err
		}
	}
	left := terminal.Table{Heads: []string{"DAY (UTC)", "REDRIVEN", "PURGED"}}
	for _, l := range s.Left {
		left.Add(terminal.Text(l.Day.Format(time.DateOnly)), terminal.Grouped(l.Redriven), terminal.Grouped(l.Purged))
	}
	return writeBelow(out, d, left)
}

// writeBelow writes a table after an empty line, and nothing when it has no rows.
func writeBelow(out io.Writer, d *deps, list terminal.Table) error {
	if len(list.Rows) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	return list.Write(out, d.Screen)
}
