package main

import (
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/config"
)

func newConfig(d *deps) *cobra.Command {
	return group("config", "See the settings that commands would use", newConfigPrint(d))
}

func newConfigPrint(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print every setting, where it came from, and no secret",
		Long: `Print every setting with where it came from: a flag given here, the environment, or
the default. Passwords are shown as xxxxx.`,
		Args: cobra.NoArgs,
	}
	config.Bind(cmd.Flags())
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := d.load(cmd)
		if err != nil {
			return err
		}
		shown := config.Show(cfg, cmd.Flags(), d.environ)
		if *asJSON {
			return writeJSON(d.stdout, struct {
				Settings []config.Shown `json:"settings"`
			}{shown})
		}
		list := table{heads: []string{"SETTING", "ENVIRONMENT", "FROM", "VALUE"}}
		for _, s := range shown {
			from := text(s.Source)
			if s.Source == "default" {
				from.colour = faint
			}
			list.add(key(s.Flag), key(s.Env), from, text(s.Value))
		}
		return list.write(d.stdout, d.screen)
	}
	return cmd
}
