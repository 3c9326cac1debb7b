package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/lab/bench"
	"github.com/penstock/penstock/internal/server"
	"github.com/penstock/penstock/internal/terminal"
)

// newGoals is the command whose table says where Penstock stands.
func newGoals(p *command.Process) *cobra.Command {
	var full, remote, asJSON bool
	cmd := &cobra.Command{
		Use: "goals", Short: "Measure everything that has a goal, and say which are met", Args: command.Arguments,
		Long: `Runs the scenarios one after another and prints a line for each goal: what was asked for
on two cores that client and server share, what was measured, and the verdict. A rate
that the machine is too slow or too busy for is met by ratio when it is at least 60% of
what the same SQL functions do there in a loop without the library (bench ceiling),
measured just before and after. Takes about four minutes; with --full, which has the long
backlogs and holds a snapshot for ten minutes, about half an hour.`,
	}
	config.Bind(cmd.Flags(), config.DatabaseURL, config.LogFormat)
	cmd.Flags().BoolVar(&full, "full", false, "the long rows too: millions waiting, minutes at full load")
	cmd.Flags().BoolVar(&remote, "remote", false, "permit a server on another machine; the network counts then")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := p.Load(cmd)
		if err != nil {
			return err
		}
		opts := bench.Options{URL: cfg.DatabaseURL.Reveal(), Remote: remote, Version: command.Version(), Log: quietLogger(p, cfg)}
		return runGoals(cmd.Context(), p, opts, full, asJSON)
	}
	return cmd
}

// quietLogger has warnings and errors only.
func quietLogger(p *command.Process, cfg config.Config) *slog.Logger {
	return server.LibraryLogger(p.Logger(cfg).WithOptions(zap.IncreaseLevel(zapcore.WarnLevel)))
}

func runGoals(ctx context.Context, p *command.Process, opts bench.Options, full, asJSON bool) error {
	if p.ErrScreen.Terminal {
		opts.Progress = showBench(&terminal.Bar{Out: p.Stderr, Screen: p.ErrScreen})
		defer fmt.Fprint(p.Stderr, terminal.ClearLine)
	}
	found, setup, err := bench.Goals(ctx, opts, full)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(p.Stdout, struct {
			Goals []bench.Goal `json:"goals"`
			Setup bench.Setup  `json:"setup"`
		}{found, setup})
	}
	if p.ErrScreen.Terminal {
		fmt.Fprint(p.Stderr, terminal.ClearLine)
	}
	goals := terminal.Table{Heads: []string{"WHAT", "GOAL", "MEASURED", "VERDICT"}}
	for _, g := range found {
		goals.Add(terminal.Text(g.What), terminal.Text(g.Goal), terminal.Text(g.Measured), terminal.Text(g.Verdict))
	}
	if err := goals.Write(p.Stdout, p.Screen); err != nil {
		return err
	}
	fmt.Fprintln(p.Stdout)
	var about terminal.Facts
	aboutSetup(&about, setup)
	return about.Write(p.Stdout, p.Screen, "")
}
