// Package doctor examines a database of jobs for what would weaken a promise or slow
// the queue down: settings, grants, poolers, replication, what keeps old rows alive,
// partitions, indexes, clocks, workers. Every finding has its remedy. It only reads.
//
// What a role may not see is a finding as well, never an error: a doctor that stops at
// the first closed door helps nobody.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Level is how much a finding matters.
type Level string

// The levels, in the order of their weight.
const (
	OK      Level = "ok"
	Unknown Level = "unknown" // it could not be examined
	Warning Level = "warning" // it weakens a promise or will slow the queue
	Problem Level = "problem" // a promise does not hold, or the queue will stand still
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Text   string `json:"text"`             // what is so
	Remedy string `json:"remedy,omitempty"` // what to do about it; empty when all is well
}

// Duty is what a role may be there for, and the functions of schema penstock that it
// then calls.
type Duty struct {
	Name      string
	Functions []string // with their arguments' types
}

// Object is a function, type or view that is not as the program has it.
type Object struct {
	Signature string
	State     string // changed by hand, missing …
}

// Patient is what to examine.
type Patient struct {
	Pool   *pgxpool.Pool
	Duties []Duty
	Schema func(context.Context) error // whether the schema fits the program; nil error: it does
	// Drift lists the functions, types and views that are not as the program has them, and how.
	Drift func(context.Context) ([]Object, error)
	Old   time.Duration // a transaction open for so long is worth a word; 0: 1 min
}

// Chart is the result: findings in the order of the checks.
type Chart struct {
	Server   string    `json:"server"`
	Role     string    `json:"role"`
	At       time.Time `json:"at"`
	Findings []Finding `json:"findings"`
}

// Count returns how many findings are of a level.
func (c *Chart) Count(l Level) (n int) {
	for _, f := range c.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// exam is an examination under way.
type exam struct {
	Patient
	check string
	found []Finding
}

var checks = []struct {
	name string
	look func(*exam, context.Context) error
}{
	{"schema", (*exam).schema},
	{"functions", (*exam).functions},
	{"grants", (*exam).grants},
	{"settings", (*exam).settings},
	{"pooler", (*exam).pooler},
	{"replication", (*exam).replication},
	{"old snapshots", (*exam).horizon},
	{"partitions", (*exam).partitions},
	{"indexes", (*exam).indexes},
	{"vacuum", (*exam).vacuum},
	{"connections", (*exam).connections},
	{"clock", (*exam).clock},
	{"workers", (*exam).workers},
}

// checkTimeout bounds one check: a lock that somebody holds must not hold the doctor.
const checkTimeout = 10 * time.Second

// Examine makes every check. Errors: that the server cannot be reached at all.
func Examine(ctx context.Context, p Patient) (*Chart, error) {
	c := &Chart{}
	err := p.Pool.QueryRow(ctx, "SELECT current_setting('server_version'), current_user::text, clock_timestamp()").Scan(&c.Server, &c.Role, &c.At)
	if err != nil {
		return nil, fmt.Errorf("examine the database: %w", err)
	}
	c.At = c.At.UTC()
	e := &exam{Patient: p}
	e.Old = cmp.Or(e.Old, time.Minute)
	for _, check := range checks {
		e.check = check.name
		within, cancel := context.WithTimeout(ctx, checkTimeout)
		if err := check.look(e, within); err != nil {
			e.unknown(err)
		}
		cancel()
	}
	c.Findings = e.found
	return c, ctx.Err()
}

func (e *exam) say(l Level, remedy, format string, args ...any) {
	e.found = append(e.found, Finding{e.check, l, fmt.Sprintf(format, args...), remedy})
}

func (e *exam) fine(format string, args ...any) { e.say(OK, "", format, args...) }

func (e *exam) unknown(err error) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" { // insufficient_privilege
		e.say(Unknown, "run the doctor as an operator (`penstock grants ROLE --as operator`) or as the schema's owner", "not allowed to look: %s", pg.Message)
		return
	}
	e.say(Unknown, "see whether the server is well, and run the doctor again", "could not look: %v", err)
}

func ask[T any](ctx context.Context, e *exam, sql string, args ...any) (v T, err error) {
	err = e.Pool.QueryRow(ctx, sql, args...).Scan(&v)
	return v, err
}
