package main

import (
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/server"
)

// newServe is the server that bench and proof start as a process of its own: this program has
// the same server as penstock, and with -tags failpoint its failpoints too.
func newServe(p *command.Process) *cobra.Command {
	cmd := &cobra.Command{Use: "serve", Hidden: true, Args: command.Arguments, SilenceErrors: true, SilenceUsage: true}
	config.Bind(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := p.Load(cmd)
		if err != nil {
			return err
		}
		return server.Run(cmd.Context(), server.Options{Config: cfg, Log: p.Logger(cfg), Getenv: p.Variable, Version: command.Version()})
	}
	return cmd
}
