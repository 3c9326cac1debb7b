// Command penstock-lab is for those who judge Penstock: it measures speed, proves the promises
// under faults, takes out guards to see that the proof notices, and runs a demo. It is built
// from the source and is not part of the image.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
)

func main() {
	os.Exit(run(context.Background(), command.NewProcess(), os.Args[1:]))
}

// run executes one command line and returns the process's exit code.
func run(ctx context.Context, p *command.Process, args []string) int {
	return p.Run(ctx, newRoot(p), args)
}

func newRoot(p *command.Process) *cobra.Command {
	root := &cobra.Command{
		Use:   "penstock-lab",
		Short: "Measure Penstock, prove its promises, and see it work",
		Long: `Measure Penstock, prove its promises under faults, and see it work on real input.

It is for those who judge or change Penstock; applications and operators need only
"penstock".`,
		Args: command.Member,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newDemo(p), newBench(p), newProof(p), newMutants(p), newServe(p))
	return root
}
