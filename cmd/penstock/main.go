// Command penstock is the queue's server, worker and command line. Each group of commands
// has a file of its own, whose runX does the work and returns an error. internal/command
// turns errors into exit codes and advice; internal/terminal writes tables and figures.
//
// Exit codes: 0 done, 1 failed, 2 used wrongly, 3 no such job, dead job, redrive, task or token.
package main

import (
	"context"
	"os"

	"github.com/penstock/penstock/internal/command"
)

func main() {
	os.Exit(run(context.Background(), &deps{command.NewProcess()}, os.Args[1:]))
}

// run executes one command line and returns the process's exit code.
func run(ctx context.Context, d *deps, args []string) int {
	return d.Run(ctx, newRoot(d), args)
}
