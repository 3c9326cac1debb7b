// Command withpostgres runs a command next to a fresh private PostgreSQL, which it stops
// afterwards. The database that DATABASE_URL named before is not touched.
//
//	go run ./internal/withpostgres go tool sqlc vet
//
// gives the command a database with the schema of this checkout in DATABASE_URL.
//
//	go run ./internal/withpostgres --tests go test ./...
//
// gives all test packages one server, in which package testkit makes a database per test.
// With --tests a DATABASE_URL that is set is used by the tests and no server is started.
//
// The exit code is the command's, or 1 when the server did not start.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/penstock/penstock/internal/testkit/testdb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode()) // the command has printed why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpostgres:", err)
		os.Exit(1)
	}
}

// run executes args and returns when the server is stopped.
func run(ctx context.Context, args []string) error {
	tests := len(args) > 0 && args[0] == "--tests"
	if tests {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("no command given: go run ./internal/withpostgres [--tests] COMMAND [ARGUMENT …]")
	}
	if tests && os.Getenv("DATABASE_URL") != "" {
		return execute(ctx, args)
	}
	url, stop, err := testdb.Start(ctx)
	if err != nil {
		return err
	}
	if tests {
		err = execute(ctx, args, testdb.ServerVar+"="+url)
	} else if err = testdb.Migrate(ctx, url); err == nil {
		err = execute(ctx, args, "DATABASE_URL="+url)
	}
	return errors.Join(err, stop(context.WithoutCancel(ctx)))
}

func execute(ctx context.Context, args []string, environ ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), environ...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}
