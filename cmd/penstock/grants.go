package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
)

// duty is a set of what a database role is there for.
type duty uint8

const (
	producer duty = 1 << iota // enqueues
	worker                    // claims, finishes, and keeps the house (internal/maintain)
	operator                  // reads everything, cancels, sets policy
	reporter                  // counts and times; never sees what jobs or their errors say

	everyone = producer | worker | operator | reporter
	nobody   = duty(0) // called by other functions, which run as the schema's owner
)

var dutyNames = []struct {
	name string
	duty duty
}{{"producer", producer}, {"worker", worker}, {"operator", operator}, {"reporter", reporter}}

const dutyList = "producer, worker, operator or reporter"

func parseDuties(names []string) (duty, error) {
	var all duty
next:
	for _, name := range names {
		for _, known := range dutyNames {
			if name == known.name {
				all |= known.duty
				continue next
			}
		}
		return 0, usagef("grants: --as must be %s, got %q", dutyList, name)
	}
	if all == 0 {
		return 0, usagef("grants: say what the role is for: --as %s", dutyList)
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
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return runGrants(d.stdout, args[0], as) },
	}
	cmd.Flags().StringSliceVar(&as, "as", nil, "what the role is for: "+dutyList+"; may be repeated")
	return cmd
}

// runGrants needs no database: the tables in grants_table.go are this binary's schema.
func runGrants(out io.Writer, role string, as []string) error {
	duties, err := parseDuties(as)
	if err != nil {
		return err
	}
	// Postgres would cut a longer name and grant to another role; a line break would
	// end the comment below.
	if role == "" || len(role) > 63 || strings.ContainsFunc(role, unicode.IsControl) {
		return usagef("grants: ROLE must be a role's name, 1 to 63 bytes without control characters, got %q", role)
	}
	quoted := pgx.Identifier{role}.Sanitize()

	var b strings.Builder
	fmt.Fprintf(&b, "-- What role %s needs as %s of Penstock. Run it as the schema's owner.\nBEGIN;\n", quoted, strings.Join(as, " and "))
	fmt.Fprintf(&b, "GRANT USAGE ON SCHEMA penstock TO %s;\n", quoted)
	for _, r := range relations {
		for _, g := range r.grants {
			if g.to&duties != 0 {
				fmt.Fprintf(&b, "GRANT %s ON penstock.%s TO %s;\n", g.privileges, r.name, quoted)
			}
		}
	}
	for _, f := range functions {
		if f.to&duties != 0 {
			fmt.Fprintf(&b, "GRANT EXECUTE ON FUNCTION penstock.%s TO %s;\n", f.signature, quoted)
		}
	}
	b.WriteString("COMMIT;\n")
	_, err = io.WriteString(out, b.String())
	return err
}
