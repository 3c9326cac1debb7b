package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
)

func newDLQ(d *deps) *cobra.Command {
	return group("dlq", "Look into the dead letter queue", newDLQList(d))
}

func newDLQList(d *deps) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "list [QUEUE]",
		Short: "List dead jobs, the newest first",
		Args:  cobra.MaximumNArgs(1),
		PreRunE: func(*cobra.Command, []string) error {
			if limit < 1 || limit > 500 {
				return usagef("dlq list: --limit must be 1 to 500, got %d", limit)
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many to list, 1 to 500")
	return asking(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		filter := penstock.DeadQuery{Limit: limit}
		if len(args) == 1 {
			filter.Queue = args[0]
		}
		return runDLQList(ctx, d, client, d.stdout, filter, asJSON)
	})
}

func runDLQList(ctx context.Context, d *deps, client *penstock.Client, out io.Writer, filter penstock.DeadQuery, asJSON bool) error {
	page, err := client.DeadJobs(ctx, filter)
	if err != nil {
		return err
	}
	dead := page.Items
	if asJSON {
		return writeJSON(out, struct {
			DeadJobs []penstock.DeadJob `json:"deadJobs"`
		}{dead})
	}
	if len(dead) == 0 {
		where := "The dead letter queue"
		if filter.Queue != "" {
			where += " of " + plain(filter.Queue)
		}
		_, err := fmt.Fprintln(out, where+" is empty.")
		return err
	}
	list := table{heads: []string{"JOB", "QUEUE", "NAME", "REASON", "FAILED", "TIMES", "ERROR"}}
	for _, j := range dead {
		times := fmt.Sprintf("%d/%d", j.Failures, j.MaxAttempts)
		list.add(number(j.JobID), text(j.Queue), text(j.Name), state(j.Reason), dimmed(ago(j.FailedAt, d.now())),
			text(times), text(j.ErrorClass+": "+j.Error))
	}
	if err := list.write(out, d.screen); err != nil {
		return err
	}
	if len(dead) == filter.Limit {
		_, err = fmt.Fprintf(out, "There may be more: --limit shows up to 500.\n")
	}
	return err
}
