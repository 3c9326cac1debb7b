// Package grants says who may do what in the database: which duty of a role calls which
// function and reads which table. A test compares the tables with the catalog, so a new
// function, table or view fails it until its row is here.
package grants

import "fmt"

// Duty is a set of what a database role is there for.
type Duty uint8

// The duties.
const (
	Producer Duty = 1 << iota // enqueues
	Worker                    // claims, finishes, and runs the maintenance (internal/maintain)
	Operator                  // reads everything, cancels, sets policy
	Reporter                  // counts and times; never sees what jobs or their errors say

	Everyone = Producer | Worker | Operator | Reporter
	Internal = Duty(0) // called by other functions only, which run as the schema's owner
)

// Duties has the duties by their names on the command line.
var Duties = []struct {
	Name string
	Duty Duty
}{{"producer", Producer}, {"worker", Worker}, {"operator", Operator}, {"reporter", Reporter}}

// Function is who may call a function. One that has a duty is public: its signature may
// only grow at its end, by arguments with defaults.
type Function struct {
	Signature string // as pg_proc spells the argument types
	To        Duty
}

// Relation is who may read a table or view.
type Relation struct {
	Name   string
	Grants []Grant // none: only functions use it
}

// Grant is what may be done, with the columns where not all of them are meant. A column
// list leaves out what a later migration adds until it is added here.
type Grant struct {
	Privileges string
	To         Duty
}

// Statements grants a role what it needs for its duties. role is a quoted identifier.
func Statements(role string, duties Duty) []string {
	all := []string{fmt.Sprintf("GRANT USAGE ON SCHEMA penstock TO %s;", role)}
	for _, r := range Relations {
		for _, g := range r.Grants {
			if g.To&duties != 0 {
				all = append(all, fmt.Sprintf("GRANT %s ON penstock.%s TO %s;", g.Privileges, r.Name, role))
			}
		}
	}
	for _, f := range Functions {
		if f.To&duties != 0 {
			all = append(all, fmt.Sprintf("GRANT EXECUTE ON FUNCTION penstock.%s TO %s;", f.Signature, role))
		}
	}
	return all
}
