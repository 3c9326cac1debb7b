package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/terminal"
	"github.com/penstock/penstock/internal/top"
)

func newTop(d *deps) *cobra.Command {
	var every wait
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the queues live, and act on them",
		Long: `Watch the queues live: what waits, runs, retries and is dead, with its trend; the
health of each queue and the worst issue of all; the workers; what died, by error.
Keys sort, filter, pause and resume queues, open a queue's dead letter queue and
redrive a job of it; ? lists them.

It needs a terminal of at least 80 by 24. Programs ask "penstock queue list --json".`,
		Args: command.Arguments,
	}
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir)
	cmd.Flags().Var(&every, "every", "how long to wait between reads (default: 2s)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !d.Asks || !d.Screen.Terminal {
			return command.Usagef(`top: this is not a terminal; programs ask "penstock queue list --json"`)
		}
		if every != 0 && time.Duration(every) < 100*time.Millisecond {
			return command.Usagef("top: --every must be at least 100ms, got %s", every.String())
		}
		cfg, err := d.Load(cmd)
		if err != nil {
			return err
		}
		return runTop(cmd.Context(), d, cfg, time.Duration(every))
	}
	return cmd
}

func runTop(ctx context.Context, d *deps, cfg config.Config, every time.Duration) error {
	pool, err := d.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := penstock.NewClient(pool, penstock.Config{})
	if err != nil {
		return err
	}
	return top.Run(ctx, top.Options{
		Client: client.As(terminal.Clip(terminal.Plain(d.Variable("USER")), 128)), Where: databaseName(pool),
		Every: every, In: d.Stdin, Out: d.Stdout, Environ: d.Environ,
	})
}
