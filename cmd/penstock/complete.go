package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

// completeWithin is how long a shell waits for the database; later is as good as never.
const completeWithin = 3 * time.Second

type completer = cobra.CompletionFunc

// completeFlag panics on a flag that the command does not have: a mistake of ours.
func completeFlag(cmd *cobra.Command, flag string, complete completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}

// priorityWords are the levels that every database begins with.
var priorityWords = []string{"low", "normal", "high", "critical"}

func fixed(choices ...string) completer {
	return cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)
}

// inOrder completes the nth argument by the nth completer.
func inOrder(nth ...completer) completer {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(nth) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nth[len(args)](cmd, args, begun)
	}
}

// fromDatabase completes by what find returns, and by nothing when that fails.
func (d *deps) fromDatabase(find func(ctx context.Context, client *penstock.Client, args []string) ([]cobra.Completion, error)) completer {
	return func(cmd *cobra.Command, args []string, _ string) (choices []cobra.Completion, _ cobra.ShellCompDirective) {
		d.Quiet = true
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		err := withClient(ctx, d, cmd, func(ctx context.Context, client *penstock.Client) (err error) {
			choices, err = find(ctx, client, args)
			return err
		})
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
		}
		return choices, cobra.ShellCompDirectiveNoFileComp
	}
}

func (d *deps) queueNames(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return d.fromDatabase(func(ctx context.Context, client *penstock.Client, _ []string) (names []cobra.Completion, err error) {
		queues, err := client.Queues.Counts(ctx, "")
		for _, q := range queues {
			names = append(names, cobra.CompletionWithDesc(terminal.Plain(q.Queue), fmt.Sprintf("%s waiting, %s dead",
				terminal.Thousands(q.Waiting+q.Scheduled+q.Retrying), terminal.Thousands(q.Dead))))
		}
		return names, err
	})(cmd, args, begun)
}

// entries completes the newest dead jobs.
func (d *deps) entries(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return d.fromDatabase(func(ctx context.Context, client *penstock.Client, _ []string) (ids []cobra.Completion, err error) {
		page, err := client.DLQ.List(ctx, penstock.DeadQuery{Limit: 30})
		for _, j := range page.Items {
			ids = append(ids, cobra.CompletionWithDesc(j.ID, terminal.Clip(terminal.Plain(j.Queue+": "+j.Name+": "+j.Error), 60)))
		}
		return ids, err
	})(cmd, args, begun)
}

func (d *deps) fingerprints(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return d.fromDatabase(func(ctx context.Context, client *penstock.Client, args []string) (ids []cobra.Completion, err error) {
		groups, err := client.DLQ.Groups(ctx, first(args), 30)
		for _, g := range groups {
			ids = append(ids, cobra.CompletionWithDesc(g.Fingerprint, terminal.Clip(terminal.Plural(g.Jobs, "job")+": "+terminal.Plain(g.Example), 60)))
		}
		return ids, err
	})(cmd, args, begun)
}

func (d *deps) redriveIDs(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return d.fromDatabase(func(ctx context.Context, client *penstock.Client, _ []string) (ids []cobra.Completion, err error) {
		all, err := client.DLQ.ListRedrives(ctx, "", 30)
		for _, r := range all {
			ids = append(ids, cobra.CompletionWithDesc(strconv.FormatInt(r.ID, 10), terminal.Plain(r.State+", "+r.Queue)))
		}
		return ids, err
	})(cmd, args, begun)
}
