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

func newDLQPolicy(d *deps) *cobra.Command {
	var delay, retention wait
	var multiplier float64
	var maxGenerations int
	cmd := &cobra.Command{
		Use: "policy QUEUE", Short: "Show or set what becomes of a queue's dead jobs by themselves",
		Long: `Show or set what becomes of a queue's dead jobs by themselves. QUEUE '*' is every queue
that does not say otherwise. What is set holds for jobs that die from now on, and a
retention for all: the scheduled task dlq-purge keeps to it, daily at 02:00 UTC unless
"penstock task set dlq-purge" says otherwise.`,
		Example: `  penstock dlq policy mail
  penstock dlq policy mail --delay 30m --multiplier 3 --max-generations 2
  penstock dlq policy '*' --retention 90d`,
		Args: command.Arguments, ValidArgsFunction: inOrder(d.queueNames),
	}
	flags := cmd.Flags()
	flags.Var(&delay, "delay", "before the first redrive, 1s to 366d")
	flags.Float64Var(&multiplier, "multiplier", 0, "of the delay with each generation, 1 to 1000")
	flags.IntVar(&maxGenerations, "max-generations", 0, "redrives by themselves at most, 0 (never) to 100")
	flags.Var(&retention, "retention", "how long dead jobs are kept, 1h to 36600d")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		change := penstock.DeadPolicy{Queue: args[0]}
		if flags.Changed("delay") {
			change.Delay = (*penstock.Milliseconds)(&delay)
		}
		if flags.Changed("multiplier") {
			change.Multiplier = &multiplier
		}
		if flags.Changed("max-generations") {
			change.MaxGenerations = &maxGenerations
		}
		if flags.Changed("retention") {
			change.Retention = (*penstock.Milliseconds)(&retention)
		}
		if change != (penstock.DeadPolicy{Queue: args[0]}) {
			if err := client.DLQ.SetPolicy(ctx, change); err != nil {
				return err
			}
		}
		return runDLQPolicy(ctx, d, client, args[0], asJSON)
	})
}

// runDLQPolicy prints the policy in force.
func runDLQPolicy(ctx context.Context, d *deps, client *penstock.Client, queue string, asJSON bool) error {
	p, err := client.DLQ.Policy(ctx, queue)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(d.Stdout, p)
	}
	retried := "never"
	if *p.MaxGenerations > 0 {
		retried = fmt.Sprintf("%s after it died, then ×%g each time, up to %s",
			terminal.Exact(time.Duration(*p.Delay)), *p.Multiplier, terminal.Plural(*p.MaxGenerations, "time"))
	}
	var f terminal.Facts
	f.Add("queue", terminal.Text(p.Queue))
	f.Add("redriven by itself", terminal.Text(retried))
	f.Add("purged", terminal.Text("after "+terminal.Exact(time.Duration(*p.Retention))+", by the task dlq-purge"))
	return f.Write(d.Stdout, d.Screen, "")
}
