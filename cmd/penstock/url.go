package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
)

func newURL(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "url",
		Short: "Print where the database is, for psql and your own programs",
		Long: `Print the address of the database the other commands use: DATABASE_URL, else that
of the running server's private PostgreSQL.`,
		Example: `  export DATABASE_URL="$(penstock url)"
  psql "$(penstock url)"`,
		Args: command.Arguments,
	}
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := d.Load(cmd)
		if err != nil {
			return err
		}
		url, err := d.DatabaseURL(cfg)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(d.Stdout, url)
		return err
	}
	return cmd
}
