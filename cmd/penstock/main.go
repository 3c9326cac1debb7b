// Command penstock is the queue's server, worker and hand tool. Each command has a
// file of its own, whose runX does the work and returns an error; exit.go alone turns
// errors into exit codes and advice, output.go alone writes for people, and main does
// nothing but join the process to them.
//
// Exit codes: 0 done, 1 failed, 2 used wrongly, 3 no such job, dead job, redrive, task or token.
package main

import (
	"context"
	"errors"
	"os"
)

func main() {
	os.Exit(run(context.Background(), processDeps(), os.Args[1:]))
}

// run executes one command line and returns the process's exit code; what it has to
// say about a failure goes to d.stderr.
func run(ctx context.Context, d *deps, args []string) int {
	ctx, stop := d.interrupts.watch(ctx)
	defer stop()
	root := newRoot(d)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !d.started {
		err = usageError{err, true}
	}
	if cause, ok := errors.AsType[interruptedError](context.Cause(ctx)); ok && errors.Is(err, context.Canceled) {
		err = cause // says more than "context canceled", wherever that came from
	}
	d.complain(err)
	return exitCode(err)
}
