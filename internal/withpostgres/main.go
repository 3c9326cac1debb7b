// Command withpostgres runs a command beside a fresh PostgreSQL that has the schema of
// this checkout, and hands it the address in DATABASE_URL:
//
//	go run ./internal/withpostgres go tool sqlc vet
//
// The server is private and temporary: whatever DATABASE_URL said before, the database
// behind it is not touched. The exit code is the command's own; 1 when the server could
// not be had.
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

	"github.com/penstock/penstock/internal/postgres"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode()) // the command has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpostgres:", err)
		os.Exit(1)
	}
}

// run executes args with DATABASE_URL set and returns when the server is gone again.
func run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return errors.New("no command given: go run ./internal/withpostgres COMMAND [ARGUMENT …]")
	}
	server, err := postgres.Start(ctx, postgres.Options{Temporary: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()

	url := server.URL("postgres")
	if err := migrate(ctx, url); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

func migrate(ctx context.Context, url string) error {
	pool, err := postgres.Open(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = (postgres.Migrator{Pool: pool}).Up(ctx)
	return err
}
