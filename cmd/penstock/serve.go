package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/server"
)

func newServe(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: the HTTP API and the queue's upkeep",
		Long: `Run the server: the HTTP API and the queue's upkeep, which buries dead workers, makes
and drops partitions and ends what expired. It uses DATABASE_URL, or starts a private
PostgreSQL that keeps its data, and applies missing migrations first.

Until there is a token ("penstock token create") it serves HTTP on loopback only, and asks
for none there. Elsewhere every request but a probe needs one.

SIGINT or SIGTERM drains it; a second signal ends it at once.`,
		Args: command.Arguments,
	}
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir, config.Listen, config.API, config.Maintenance,
		config.AdminListen, config.TLSCert, config.TLSKey, config.TokenRate, config.MaxDepth, config.Announce,
		config.LogLevel, config.LogFormat)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := d.Load(cmd)
		if err != nil {
			return err
		}
		return runServe(cmd.Context(), d, cfg)
	}
	return cmd
}

func runServe(ctx context.Context, d *deps, cfg config.Config) error {
	log := d.Logger(cfg)
	err := server.Run(ctx, server.Options{
		Config: cfg, Log: log, Getenv: d.Variable, Version: command.Version(),
		Ready: func(ctx context.Context, s *server.Server) error {
			d.Interrupts.Stopped(func() {
				log.Info("draining: running requests and jobs end first; a second signal ends the process at once")
			})
			if cfg.LogFormat == "json" || cfg.LogFormat != "console" && !d.Screen.Terminal {
				return nil // programs read the log, and nothing else
			}
			return writeBanner(ctx, d, s)
		},
	})
	if wrong, ok := errors.AsType[server.SettingsError](err); ok {
		return command.Usage(fmt.Errorf("serve: %w", wrong))
	}
	return err
}
