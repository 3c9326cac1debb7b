package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

func newJobDeadLetter(d *deps) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "dead-letter ID", Short: "Lay a waiting job in the dead letter queue by hand",
		Example: `  penstock job dead-letter 2078000000000001 --message 'jams the printer'`,
		Args:    jobID,
	}
	cmd.Flags().StringVar(&why, "message", "", "why, for whoever finds it there")
	return clientCommand(d, cmd, func(ctx context.Context, client *penstock.Client, args []string, asJSON bool) error {
		id, err := parseID(args[0])
		if err != nil {
			return err
		}
		said, shown, err := moved("lies in the dead letter queue", func(ctx context.Context, client *penstock.Client, id int64) (bool, error) {
			return client.DLQ.Add(ctx, id, why)
		})(ctx, client, id)
		if err != nil {
			return err
		}
		if asJSON {
			return terminal.WriteJSON(d.Stdout, shown)
		}
		_, err = fmt.Fprintf(d.Stdout, "Job %d %s.\n", id, said)
		return err
	})
}
