package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/doctor"
	"github.com/penstock/penstock/internal/grants"
	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/terminal"
)

func newDoctor(d *deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what would weaken a promise or slow the queue down, with its remedy",
		Long: `Find what would weaken a promise or slow the queue down: settings, grants, a pooler in
between, replication, old snapshots, partitions, indexes, clocks, workers. It only reads.
Run it with the URL that the application uses: what it may do and see differs by role.

Findings are ok, unknown (it could not be examined), warning, or problem. The exit code
is 1 when there is a problem.`,
		Args: command.Arguments,
	}
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := d.Load(cmd)
		if err != nil {
			return err
		}
		return runDoctor(cmd.Context(), d, cfg, asJSON)
	}
	return cmd
}

// errUnwell is the error of a database that has a problem; the chart has said which.
var errUnwell = errors.New("doctor: there are problems")

func runDoctor(ctx context.Context, d *deps, cfg config.Config, asJSON bool) error {
	pool, err := d.ConnectUnchecked(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	chart, err := doctor.Examine(ctx, doctor.Patient{
		Pool: pool, Duties: duties(), Schema: func(ctx context.Context) error { return postgres.Check(ctx, pool) },
		Drift: func(ctx context.Context) ([]doctor.Object, error) { return drift(ctx, pool) },
	})
	if err != nil {
		return err
	}
	if asJSON {
		err = terminal.WriteJSON(d.Stdout, chart)
	} else {
		err = writeChart(d, chart)
	}
	if err == nil && chart.Count(doctor.Problem) > 0 {
		return errUnwell
	}
	return err
}

// drift lists the objects of the schema that are not as this program has them.
func drift(ctx context.Context, pool *pgxpool.Pool) (different []doctor.Object, err error) {
	objects, err := postgres.Migrator{Pool: pool}.Objects(ctx)
	for _, o := range objects {
		if o.State != postgres.InStep {
			different = append(different, doctor.Object{Signature: o.Signature, State: string(o.State)})
		}
	}
	return different, err
}

// duties are the grants' tables by duty, for roles that need functions at all.
func duties() (all []doctor.Duty) {
	for _, named := range grants.Duties {
		duty := doctor.Duty{Name: named.Name}
		for _, f := range grants.Functions {
			if f.To&named.Duty != 0 {
				duty.Functions = append(duty.Functions, f.Signature)
			}
		}
		if len(duty.Functions) > 0 {
			all = append(all, duty)
		}
	}
	return all
}

var levelColours = map[doctor.Level]terminal.Colour{
	doctor.OK: terminal.Green, doctor.Unknown: terminal.Cyan, doctor.Warning: terminal.Yellow, doctor.Problem: terminal.Red,
}

// writeChart writes a line per finding and, below what is not well, its remedy.
func writeChart(d *deps, chart *doctor.Chart) error {
	out, s := d.Stdout, d.Screen
	fmt.Fprintf(out, "PostgreSQL %s, as %s\n\n", terminal.Plain(chart.Server), terminal.Plain(chart.Role))
	const margin = len("problem  old snapshots  ")
	hang := func(text string) string { return terminal.Hanging(text, s.Width, margin) }
	for _, f := range chart.Findings {
		fmt.Fprintf(out, "%s  %-13s  %s\n", s.Paint(levelColours[f.Level], fmt.Sprintf("%-7s", f.Level)), f.Check, hang(terminal.Plain(f.Text)))
		if f.Remedy != "" {
			fmt.Fprintf(out, "%*s%s\n", margin, "", s.Paint(terminal.Faint, hang("→ "+terminal.Plain(f.Remedy))))
		}
	}
	verdict := "all is well"
	if n, m := chart.Count(doctor.Problem), chart.Count(doctor.Warning)+chart.Count(doctor.Unknown); n+m > 0 {
		verdict = fmt.Sprintf("%s, %s to look at", counted(n, "problem"), counted(m, "thing"))
	}
	_, err := fmt.Fprintf(out, "\n%s\n", verdict)
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
