package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/terminal"
)

// clientCommand makes a command that takes arguments, talks to the database through a client
// and can print JSON.
func clientCommand(d *deps, cmd *cobra.Command, run func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error) *cobra.Command {
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := notEmpty(cmd); err != nil {
			return err
		}
		return nameFlag(cmd, withClient(cmd.Context(), d, cmd, func(ctx context.Context, client *penstock.Client) error {
			return run(ctx, client, args, *asJSON)
		}))
	}
	return cmd
}

// withClient calls use with a client on the database of the command's settings. What
// it changes is in the audit log under the name of whoever typed the command.
func withClient(ctx context.Context, d *deps, cmd *cobra.Command, use func(context.Context, *penstock.Client) error) error {
	cfg, err := d.Load(cmd)
	if err != nil {
		return err
	}
	pool, err := d.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := penstock.NewClient(pool, penstock.Config{})
	if err != nil {
		return err
	}
	return use(ctx, client.As(terminal.Clip(terminal.Plain(d.Variable("USER")), 128)))
}

// flagOf is where the library's argument is typed, for those that bear another name.
var flagOf = map[string]string{
	"filter.data": "where", "filter.enqueuedFrom": "since", "filter.failedFrom": "since",
	"filter.enqueuedTo": "until", "filter.failedTo": "until",
}

// nameFlag makes a refusal name the flag instead of the library's argument.
func nameFlag(cmd *cobra.Command, err error) error {
	refused, ok := errors.AsType[*penstock.ArgumentError](err)
	if !ok {
		return err
	}
	flag, known := flagOf[refused.Argument]
	if !known {
		flag = strings.ReplaceAll(strings.TrimPrefix(refused.Argument, "filter."), "_", "-")
	}
	rest, leads := strings.CutPrefix(refused.Message, refused.Argument)
	if !leads || cmd.Flags().Lookup(flag) == nil {
		return err
	}
	return command.Usagef("%s: --%s%s", command.Path(cmd), flag, rest)
}
