package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/lab/demo"
	"github.com/penstock/penstock/internal/server"
	"github.com/penstock/penstock/internal/terminal"
)

func newDemo(p *command.Process) *cobra.Command {
	var source string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the server and index a tree of Go sources as jobs",
		Long: `Run the server, as "penstock serve" does, and an application on it that indexes a tree
of Go sources with a job for each file and each package. When all jobs have ended it
prints what it found, which jobs died, and what to type next. The server stays up.`,
		Args: command.Arguments,
	}
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir, config.Listen, config.LogLevel, config.LogFormat)
	cmd.Flags().StringVar(&source, "source", "", "the tree to index (default: GOROOT)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := p.Load(cmd)
		if err != nil {
			return err
		}
		return runDemo(cmd.Context(), p, cfg, source)
	}
	return cmd
}

func runDemo(ctx context.Context, p *command.Process, cfg config.Config, source string) error {
	log := p.Logger(cfg)
	err := server.Run(ctx, server.Options{
		Config: cfg, Log: log, Getenv: p.Variable, Version: command.Version(),
		Ready: func(ctx context.Context, s *server.Server) error { return s.WriteAbout(ctx, p.Stdout, p.Screen) },
		Alongside: func(ctx context.Context, s *server.Server) error {
			// Hundreds of attempts fail by design. Their log lines would tear the demo's own
			// output apart on a terminal, so only warnings are logged.
			client, err := s.NewClient(log.WithOptions(zap.IncreaseLevel(zap.WarnLevel)))
			if err != nil {
				return err
			}
			opts := demo.Options{
				Source: source, Command: userProgram(p.Program), Setup: s.Setup(), BaseURL: s.URL, DatabaseURL: s.PrivateURL(),
			}
			if file, ok := p.Stdout.(*os.File); ok && p.Screen.Terminal {
				opts.Width = func() int { return terminal.Width(file) }
			}
			return demo.Run(ctx, s.Pool(), client, opts, p.Stdout)
		},
	})
	if wrong, ok := errors.AsType[server.SettingsError](err); ok {
		return command.Usage(fmt.Errorf("demo: %w", wrong))
	}
	return err
}

// userProgram is the penstock in the same directory as this program, for commands to type next.
func userProgram(lab string) string {
	sibling := filepath.Join(filepath.Dir(lab), "penstock")
	if info, err := os.Stat(sibling); err == nil && !info.IsDir() {
		return sibling
	}
	return "penstock"
}
