package main

import (
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/terminal"
)

func newConfig(d *deps) *cobra.Command {
	return command.Group("config", "See the settings that commands would use", newConfigPrint(d))
}

func newConfigPrint(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print every setting, where it came from, and no secret",
		Long: `Print every setting with where it came from: a flag given here, the environment, or
the default. Passwords are shown as xxxxx.`,
		Args: command.Arguments,
	}
	config.Bind(cmd.Flags())
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := d.Load(cmd)
		if err != nil {
			return err
		}
		shown := config.Show(cfg, cmd.Flags(), d.Environ)
		if *asJSON {
			return writeItems(d.Stdout, shown, "")
		}
		list := terminal.Table{Heads: []string{"SETTING", "ENVIRONMENT", "FROM", "VALUE"}}
		for _, s := range shown {
			from := terminal.Text(s.Source)
			if s.Source == "default" {
				from.Colour = terminal.Faint
			}
			list.Add(terminal.Key(s.Flag), terminal.Key(s.Env), from, terminal.Text(s.Value))
		}
		return list.Write(d.Stdout, d.Screen)
	}
	return cmd
}
