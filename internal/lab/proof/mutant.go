package proof

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Mutant removes one guard. A proof must then find the fault that the guard prevents.
type Mutant struct {
	Name    string
	Nemesis string // the fault that reveals it; empty: none is needed
	Rare    bool   // the fault seldom meets the guard: a longer proof is needed

	// A guard of the library is text in a file; a build without it is made.
	File           string
	Guard, Instead string

	// A guard of the database is text in function bodies, or is removed by a statement.
	functions []string // with their arguments' types
	sql       string
}

// Mutants are the guards that a proof must notice.
var Mutants = []Mutant{
	{
		Name: "fence", Nemesis: "freeze past the lease", Rare: true,
		functions: []string{
			"complete_many(text,bigint[],integer[],timestamp with time zone[])",
			"end_attempts(text,bigint[],integer[],text[],text[],text[],text[],jsonb[],interval[],timestamp with time zone[])",
		},
		Guard: "AND r.attempt = s.attempt\n            AND (s.claimed_at IS NULL OR r.claimed_at = s.claimed_at)",
	},
	{
		Name: "refused completion", Nemesis: "freeze past the lease", Rare: true,
		functions: []string{"complete(text,bigint,integer,jsonb,timestamp with time zone)"},
		Guard:     "ELSIF ending.status IS DISTINCT FROM 'accepted'", Instead: "ELSIF false",
	},
	{
		Name: "skip locked", Nemesis: "held claim",
		functions: []string{"lane_head(text,smallint,timestamptz,timestamptz,bigint,text[],bigint[],integer)"},
		Guard:     "SKIP LOCKED",
	},
	{
		Name: "orphan sweep", Nemesis: "late claim",
		sql: "CREATE OR REPLACE FUNCTION penstock.bury_orphans() RETURNS integer LANGUAGE sql AS 'SELECT 0'",
	},
	{Name: "attempts' key", Nemesis: "second end", sql: "ALTER TABLE penstock.attempts DROP CONSTRAINT attempts_pkey"},
	{Name: "beat comparison", Nemesis: "stale sweeper", functions: []string{"bury(bigint,bigint)"}, Guard: "AND w.beat = bury.beat"},
	{
		Name: "dead entry's departure", Nemesis: "kill",
		sql: `CREATE FUNCTION proof.forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
			CREATE TRIGGER forget BEFORE INSERT ON penstock.departures FOR EACH ROW EXECUTE FUNCTION proof.forget()`,
	},
	{
		Name: "reconciliation after a lost claim", Nemesis: "drop reply", File: "worker_reconcile.go",
		Guard: "if !f.unsure && time.Now().Before(f.reconcileAt) {", Instead: "if f.unsure || true {",
	},
	{
		Name: "completion retry", Nemesis: "crash", File: "worker_flush.go",
		Guard:   "wait.For(ctx, wait.Jitter(min(20*time.Millisecond<<min(tries, 6), time.Second)))",
		Instead: "q.answered(ends)\n\t\treturn nil",
	},
	{Name: "poll fallback", File: "worker_fetch.go", Guard: "fallbackPoll   = time.Second", Instead: "fallbackPoll   = time.Hour"},
}

// applyMutants removes guards from the proof's own database.
func applyMutants(ctx context.Context, a *testbed, names []string) error {
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

func (m *Mutant) apply(ctx context.Context, a *testbed) error {
	if m.File != "" {
		return fmt.Errorf("its guard is in %s: it needs a build without it, as `make proof-mutants` makes", m.File)
	}
	for _, function := range m.functions {
		source, err := queryOne[string](ctx, a, "SELECT pg_get_functiondef($1::regprocedure)", "penstock."+function)
		if err != nil {
			return err
		}
		if n := strings.Count(source, m.Guard); n == 0 {
			return fmt.Errorf("%s does not contain the guard %q", function, m.Guard)
		}
		if err := a.exec(ctx, strings.ReplaceAll(source, m.Guard, m.Instead)); err != nil {
			return err
		}
	}
	if m.sql == "" {
		return nil
	}
	return a.exec(ctx, m.sql)
}
