package proof

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Mutant is a guard of the database, and what is left when it is taken out: the proof
// has to notice.
type Mutant struct {
	Name    string
	Nemesis string // the fault that the guard is there for

	function string // of schema penstock, with its arguments' types
	guard    string // in its body, once
	instead  string
	sql      string // to run as well
}

// Mutants are those whose guard is in SQL.
var Mutants = []Mutant{}

// sabotage takes guards out of the proof's own database.
func sabotage(ctx context.Context, a *arena, names []string) error {
	for _, name := range names {
		i := slices.IndexFunc(Mutants, func(m Mutant) bool { return m.Name == name })
		if i < 0 {
			return fmt.Errorf("no mutant is called %q", name)
		}
		if err := Mutants[i].apply(ctx, a); err != nil {
			return fmt.Errorf("mutant %s: %w", name, err)
		}
	}
	return nil
}

func (m *Mutant) apply(ctx context.Context, a *arena) error {
	if m.function != "" {
		source, err := ask[string](ctx, a, "SELECT pg_get_functiondef($1::regprocedure)", "penstock."+m.function)
		if err != nil {
			return err
		}
		if n := strings.Count(source, m.guard); n == 0 {
			return fmt.Errorf("%s does not have the guard %q any more", m.function, m.guard)
		}
		if err := a.exec(ctx, strings.ReplaceAll(source, m.guard, m.instead)); err != nil {
			return err
		}
	}
	if m.sql == "" {
		return nil
	}
	return a.exec(ctx, m.sql)
}
