package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/lab/bench"
)

// newGoals is the command whose table says where Penstock stands.
func newGoals(d *deps) *cobra.Command {
	var full, remote, asJSON bool
	cmd := &cobra.Command{
		Use: "goals", Short: "Measure everything that has a goal, and say which are met", Args: cobra.NoArgs,
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
		cfg, err := d.load(cmd)
		if err != nil {
			return err
		}
		opts := bench.Options{URL: cfg.DatabaseURL.Reveal(), Remote: remote, Version: buildVersion(), Log: quietLogger(d, cfg)}
		return runGoals(cmd.Context(), d, opts, full, asJSON)
	}
	return cmd
}

// quietLogger has warnings and errors only.
func quietLogger(d *deps, cfg config.Config) *slog.Logger {
	return libraryLogger(newLogger(d, cfg).WithOptions(zap.IncreaseLevel(zapcore.WarnLevel)))
}

func runGoals(ctx context.Context, d *deps, opts bench.Options, full, asJSON bool) error {
	if d.errScreen.terminal {
		opts.Progress = (&bar{out: d.stderr, screen: d.errScreen}).show
		defer fmt.Fprint(d.stderr, clearLine)
	}
	found, setup, err := bench.Goals(ctx, opts, full)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(d.stdout, struct {
			Goals []bench.Goal `json:"goals"`
			Setup bench.Setup  `json:"setup"`
		}{found, setup})
	}
	if d.errScreen.terminal {
		fmt.Fprint(d.stderr, clearLine)
	}
	goals := table{heads: []string{"WHAT", "GOAL", "MEASURED", "VERDICT"}}
	for _, g := range found {
		goals.add(text(g.What), text(g.Goal), text(g.Measured), text(g.Verdict))
	}
	if err := goals.write(d.stdout, d.screen); err != nil {
		return err
	}
	fmt.Fprintln(d.stdout)
	var about facts
	aboutSetup(&about, setup)
	return about.write(d.stdout, d.screen, "")
}
