package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/terminal"
)

func newMigrate(d *deps) *cobra.Command {
	return command.Group("migrate", "Bring the database's schema to another version, or show its version",
		newMigrateUp(d), newMigrateDown(d), newMigrateFunctions(d), newMigrateStatus(d), newMigrateVersion(d), newMigrateSQL(d))
}

// migrating makes a command that gets a Migrator on the database of the settings.
func migrating(d *deps, use, short string, run func(context.Context, postgres.Migrator) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: command.Arguments}
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := d.Load(cmd)
		if err != nil {
			return err
		}
		pool, err := d.ConnectUnchecked(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer pool.Close()
		return run(cmd.Context(), postgres.Migrator{Pool: pool})
	}
	return cmd
}

func newMigrateUp(d *deps) *cobra.Command {
	return migrating(d, "up", "Apply every migration that is missing; safe to run by many at once",
		func(ctx context.Context, m postgres.Migrator) error { return runMigrateUp(ctx, m, d.Stdout) })
}

func runMigrateUp(ctx context.Context, m postgres.Migrator, out io.Writer) error {
	applied, err := m.Up(ctx)
	if err != nil {
		return err
	}
	version, err := m.Version(ctx)
	if err != nil {
		return err
	}
	switch len(applied) {
	case 0:
		_, err = fmt.Fprintf(out, "The schema is at version %d; nothing to apply.\n", version)
	default:
		_, err = fmt.Fprintf(out, "Applied %s; the schema is at version %d.\n", joinVersions(applied), version)
	}
	return err
}

func newMigrateDown(d *deps) *cobra.Command {
	var to int64
	var yes bool
	cmd := migrating(d, "down", "Take migrations back, and destroy what their tables hold",
		func(ctx context.Context, m postgres.Migrator) error {
			return runMigrateDown(ctx, m, d.Stdout, to, yes)
		})
	cmd.Flags().Int64Var(&to, "to", -1, "the version to go back to; 0 removes everything (default: one version back)")
	cmd.Flags().Lookup("to").DefValue = "0" // pflag prints no default of zero: the usage names it
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, destroy the data")
	return cmd
}

// runMigrateDown goes back to a version, one step when to is -1.
func runMigrateDown(ctx context.Context, m postgres.Migrator, out io.Writer, to int64, yes bool) error {
	version, err := m.Version(ctx)
	if err != nil {
		return err
	}
	if to == -1 {
		to = max(version-1, 0)
	}
	if to < 0 || to > version {
		return command.Usagef("migrate down: --to must be 0 to %d, where the schema is, got %d", version, to)
	}
	if to == version {
		_, err = fmt.Fprintf(out, "The schema is at version %d; nothing to take back.\n", version)
		return err
	}
	if !yes {
		return command.Usagef("migrate down: going from version %d to %d drops tables and the jobs in them: add --yes to do it", version, to)
	}
	undone, err := m.Down(ctx, to)
	if err != nil {
		return err
	}
	if _, err = fmt.Fprintf(out, "Took back %s; the schema is at version %d.\n", joinVersions(undone), to); err == nil && to > 0 {
		_, err = fmt.Fprintln(out, "Now run `penstock migrate functions` with the program of that version: it brings its own functions.")
	}
	return err
}

func newMigrateStatus(d *deps) *cobra.Command {
	var asJSON bool
	cmd := migrating(d, "status", "List every migration, and the functions that are not as this program has them",
		func(ctx context.Context, m postgres.Migrator) error {
			return runMigrateStatus(ctx, d, m, d.Stdout, asJSON)
		})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

type migrationLine struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`
	State     string     `json:"state"` // applied, pending, or unknown to this binary
	AppliedAt *time.Time `json:"appliedAt,omitempty"`
}

type functionLine struct {
	Kind      string               `json:"kind"` // function, type or view
	Signature string               `json:"signature"`
	File      string               `json:"file"`
	State     postgres.ObjectState `json:"state"`
	Stamp     int64                `json:"stamp,omitempty"` // the migration that applied it
}

// migrateReport is what `migrate status --json` prints.
type migrateReport struct {
	Migrations []migrationLine `json:"migrations"`
	Functions  []functionLine  `json:"functions"`
}

func runMigrateStatus(ctx context.Context, d *deps, m postgres.Migrator, out io.Writer, asJSON bool) error {
	all, err := m.Status(ctx)
	if err != nil {
		return err
	}
	objects, err := m.Objects(ctx)
	if err != nil {
		return err
	}
	report := migrateReport{make([]migrationLine, len(all)), make([]functionLine, len(objects))}
	list := terminal.Table{Heads: []string{"VERSION", "NAME", "STATE", "APPLIED"}}
	for i, s := range all {
		line := migrationLine{s.Version, strings.TrimSuffix(s.Name, ".sql"), "pending", s.AppliedAt}
		when := ""
		if s.AppliedAt != nil {
			line.State, when = "applied", terminal.Ago(*s.AppliedAt, d.Now())
		}
		if s.Name == "" {
			line.State = "unknown"
		}
		report.Migrations[i] = line
		list.Add(terminal.Number(s.Version), terminal.Text(line.Name), terminal.Text(line.State), terminal.Dimmed(when))
	}
	different := terminal.Table{Heads: []string{"FUNCTION", "STATE", "FILE"}}
	for i, o := range objects {
		report.Functions[i] = functionLine{o.Kind, o.Signature, o.File, o.State, o.Stamp}
		if o.State != postgres.InStep {
			different.Add(terminal.Text(o.Signature), terminal.Text(string(o.State)), terminal.Dimmed(o.File))
		}
	}
	if asJSON {
		return terminal.WriteJSON(out, report)
	}
	if err := list.Write(out, d.Screen); err != nil {
		return err
	}
	if n := len(different.Rows); n > 0 {
		fmt.Fprintf(out, "\n%d of %d functions, types and views are not as this program has them:\n\n", n, len(objects))
		return different.Write(out, d.Screen)
	}
	_, err = fmt.Fprintf(out, "\nAll %d functions, types and views are as this program has them.\n", len(objects))
	return err
}

func newMigrateFunctions(d *deps) *cobra.Command {
	cmd := migrating(d, "functions", "Bring the database's functions to those of this program, without touching tables",
		func(ctx context.Context, m postgres.Migrator) error {
			changed, err := m.Functions(ctx)
			if err == nil {
				_, err = fmt.Fprintf(d.Stdout, "%s changed; the functions, types and views are those of this program.\n", counted(changed, "object"))
			}
			return err
		})
	cmd.Long = `Bring the database's functions, types and views to those of this program, without
touching tables. Use it to go back to an older release: that release's program puts its
own functions back, and the tables stay as the newer release left them. Use it also to
undo changes that were made by hand; migrate status lists them. Grants are kept.`
	return cmd
}

func newMigrateVersion(d *deps) *cobra.Command {
	return migrating(d, "version", "Print the version that the schema is at; 0 when there is none",
		func(ctx context.Context, m postgres.Migrator) error {
			version, err := m.Version(ctx)
			if err == nil {
				_, err = fmt.Fprintln(d.Stdout, version)
			}
			return err
		})
}

func newMigrateSQL(d *deps) *cobra.Command {
	var from, to int64
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Print the migrations as a script for psql, to read or to run by hand",
		Args:  command.Arguments,
		RunE:  func(*cobra.Command, []string) error { return runMigrateSQL(d.Stdout, from, to) },
	}
	cmd.Flags().Int64Var(&from, "from", 0, "the version that the database is at")
	cmd.Flags().Int64Var(&to, "to", -1, "the version to reach, upwards or downwards (default: the newest)")
	cmd.Flags().Lookup("to").DefValue = "0" // pflag prints no default of zero: the usage names it
	return cmd
}

func runMigrateSQL(out io.Writer, from, to int64) error {
	if to == -1 {
		var err error
		if to, err = postgres.Newest(); err != nil {
			return err
		}
	}
	script, err := postgres.SQL(from, to)
	if err != nil {
		return command.Usage(err)
	}
	_, err = io.WriteString(out, script)
	return err
}

func joinVersions(versions []int64) string {
	words := make([]string, len(versions))
	for i, v := range versions {
		words[i] = strconv.FormatInt(v, 10)
	}
	if len(words) == 1 {
		return "migration " + words[0]
	}
	return "migrations " + strings.Join(words, ", ")
}
