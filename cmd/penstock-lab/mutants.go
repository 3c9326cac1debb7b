package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/lab/mutate"
)

func newMutants(p *command.Process) *cobra.Command {
	opts := mutate.Options{}
	cmd := &cobra.Command{
		Use:   "mutants",
		Short: "Take out one guard at a time: the proof must notice each",
		Long: `Take out Penstock's guards, one at a time, and run a proof of each mutant under the
fault that its guard is for. A guard in SQL is taken out of the proof's own database,
one in Go out of a build with an overlay: no file of the checkout changes.

It needs the go command and runs at the root of the checkout. The exit code is 1 when
the proof did not notice a mutant.`,
		Args: command.Arguments,
	}
	cmd.Flags().DurationVar(&opts.Duration, "duration", 20*time.Second, "of each proof")
	cmd.Flags().Uint64Var(&opts.Seed, "seed", 1, "of each proof")
	cmd.Flags().StringSliceVar(&opts.Only, "only", nil, `the mutants to prove, such as "fence,skip locked" (default: all)`)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return mutate.Run(cmd.Context(), opts, p.Stdout) }
	return cmd
}
