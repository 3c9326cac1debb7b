package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/grants"
)

const dutyList = "producer, worker, operator or reporter"

func parseDuties(names []string) (grants.Duty, error) {
	var all grants.Duty
next:
	for _, name := range names {
		for _, known := range grants.Duties {
			if name == known.Name {
				all |= known.Duty
				continue next
			}
		}
		return 0, command.Usagef("grants: --as must be %s, got %q", dutyList, name)
	}
	if all == 0 {
		return 0, command.Usagef("grants: say what the role is for: --as %s", dutyList)
	}
	return all, nil
}

func newGrants(d *deps) *cobra.Command {
	var as []string
	cmd := &cobra.Command{
		Use:   "grants ROLE --as producer|worker|operator|reporter",
		Short: "Print the SQL that lets a database role do its work and nothing else",
		Long: `Print the SQL that lets a database role do its work and nothing else. Run it as the
owner of the schema, after each migration: it may be repeated.

  producer  enqueues
  worker    claims and finishes jobs, and keeps the house
  operator  reads everything, cancels jobs, sets queues and policies
  reporter  reads what queues do, never what jobs or their errors say`,
		Example: `  penstock grants app --as producer --as worker | psql "$DATABASE_URL"`,
		Args:    command.Arguments,
		RunE:    func(_ *cobra.Command, args []string) error { return runGrants(d.Stdout, args[0], as) },
	}
	cmd.Flags().StringSliceVar(&as, "as", nil, "what the role is for: "+dutyList+"; may be repeated")
	completeFlag(cmd, "as", fixed(dutyNames()...))
	return cmd
}

// runGrants needs no database: the tables in internal/grants are this binary's schema.
func runGrants(out io.Writer, role string, as []string) error {
	duties, err := parseDuties(as)
	if err != nil {
		return err
	}
	// Postgres would cut a longer name and grant to another role; a line break would
	// end the comment below.
	if role == "" || len(role) > 63 || strings.ContainsFunc(role, unicode.IsControl) {
		return command.Usagef("grants: ROLE must be a role's name, 1 to 63 bytes without control characters, got %q", role)
	}
	quoted := pgx.Identifier{role}.Sanitize()

	var b strings.Builder
	fmt.Fprintf(&b, "-- What role %s needs as %s of Penstock. Run it as the schema's owner.\nBEGIN;\n", quoted, strings.Join(as, " and "))
	for _, statement := range grants.Statements(quoted, duties) {
		b.WriteString(statement + "\n")
	}
	b.WriteString("COMMIT;\n")
	_, err = io.WriteString(out, b.String())
	return err
}

func dutyNames() (names []string) {
	for _, duty := range grants.Duties {
		names = append(names, duty.Name)
	}
	return names
}
