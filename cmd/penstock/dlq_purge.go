package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/terminal"
)

func newDLQPurge(d *deps) *cobra.Command {
	var f deadFlags
	var older wait
	var dryRun, yes bool
	cmd := &cobra.Command{
		Use: "purge [QUEUE] --older-than 30d", Short: "Delete dead jobs for good",
		Long: `Delete dead jobs for good, of one queue or of every one. That they were there, and
who purged them, stays on record; their data does not.`,
		Example: `  penstock dlq purge mail --older-than 30d --dry-run
  penstock dlq purge mail --older-than 0s --fingerprint 3f2a9c0d1e8b7a65 --yes`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	f.bind(cmd)
	cmd.Flags().Var(&older, "older-than", "only what died longer ago than this, such as 30d; 0s: whenever")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say how many and which, and delete nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, delete them")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("older-than") {
			return command.Usagef("dlq purge: say how old they must be: --older-than 30d, or 0s for any age")
		}
		if older < 0 {
			return command.Usagef("dlq purge: --older-than must be 0s or more, got %s", time.Duration(older))
		}
		return f.check(cmd)
	}
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		filter := f.filter(cmd, d.Now())
		found, err := findDead(ctx, client, first(args), olderThan(filter, d.Now().Add(-time.Duration(older))))
		if err != nil {
			return err
		}
		if dryRun {
			return found.write(d, "purge", first(args), asJSON)
		}
		var purged int64
		if found.Jobs > 0 {
			if err := confirm(ctx, d, cmd, yes, "purge "+found.in(first(args))); err != nil {
				return err
			}
			shown := terminal.NewProgress(d.Stderr, d.ErrScreen, d.Now, found.total())
			purged, err = client.DLQ.Purge(ctx, first(args), time.Duration(older), filter, func(n int64) { shown.Show(n, "purged", "") })
			shown.Clear()
			if err != nil {
				return fmt.Errorf("after %s: %w", terminal.Plural(purged, "job"), err)
			}
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, struct {
				Purged int64 `json:"purged"`
			}{purged})
		}
		_, err = fmt.Fprintf(d.Stdout, "Purged %s.\n", terminal.Plural(purged, "dead job"))
		return err
	})
}

// olderThan is the filter for what also died before then.
func olderThan(filter penstock.DeadFilter, then time.Time) penstock.DeadFilter {
	if filter.FailedTo == nil || filter.FailedTo.After(then) {
		filter.FailedTo = &then
	}
	return filter
}

// foundDead is what a filter finds, for a look before it is redriven or purged.
type foundDead struct {
	DryRun bool               `json:"dryRun"`
	Jobs   int64              `json:"jobs"`
	Capped bool               `json:"capped"` // there are more: counting stopped
	Sample []penstock.DeadJob `json:"sample"`
}

func findDead(ctx context.Context, client *penstock.Client, queue string, filter penstock.DeadFilter) (foundDead, error) {
	found := foundDead{DryRun: true, Sample: []penstock.DeadJob{}}
	count, err := client.DLQ.Count(ctx, queue, filter)
	if err != nil {
		return found, err
	}
	found.Jobs, found.Capped = count.Jobs, count.Capped
	for cursor := ""; len(found.Sample) < sampleSize && int64(len(found.Sample)) < found.Jobs; {
		page, err := client.DLQ.List(ctx, penstock.DeadQuery{
			Queue: queue, Filter: filter, Limit: sampleSize - len(found.Sample), Cursor: cursor,
		})
		if err != nil {
			return found, err
		}
		found.Sample = append(found.Sample, page.Items...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return found, nil
}

// in is "3 dead jobs of mail", with a plus where counting stopped.
func (f foundDead) in(queue string) string {
	where := "every queue"
	if queue != "" {
		where = "queue " + terminal.Plain(queue)
	}
	if f.Capped {
		return terminal.Thousands(f.Jobs) + "+ dead jobs of " + where
	}
	return terminal.Plural(f.Jobs, "dead job") + " of " + where
}

// total is what a bar counts to; 0 when that is not known.
func (f foundDead) total() int64 {
	if f.Capped {
		return 0
	}
	return f.Jobs
}

func (f foundDead) write(d *deps, verb, queue string, asJSON bool) error {
	if asJSON {
		return terminal.WriteJSON(d.Stdout, f)
	}
	if f.Jobs == 0 {
		_, err := fmt.Fprintf(d.Stdout, "No dead job matches: there is nothing to %s.\n", verb)
		return err
	}
	fmt.Fprintf(d.Stdout, "This would %s %s.\n", verb, f.in(queue))
	if int64(len(f.Sample)) < f.Jobs {
		fmt.Fprintln(d.Stdout, "Some of them:")
	}
	return deadTable(d, f.Sample, queue == "").Write(d.Stdout, d.Screen)
}
