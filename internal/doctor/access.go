package doctor

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

// grants tells what the role may do as a whole, and what is missing where it has a part.
func (e *exam) grants(ctx context.Context) error {
	super, err := ask[bool](ctx, e, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
	if err != nil {
		return err
	}
	if super {
		e.say(Warning, "give applications a role of their own: CREATE ROLE app LOGIN; penstock grants app --as producer --as worker",
			"connected as a superuser, who may do anything, and so may whoever takes the application over")
		return nil
	}
	var whole []string
	for _, d := range e.Duties {
		missing, err := ask[[]string](ctx, e, `SELECT coalesce(array_agg(f.signature), '{}') FROM unnest($1::text[]) f(signature)
			WHERE to_regprocedure('penstock.' || f.signature) IS NULL
				OR NOT has_function_privilege('penstock.' || f.signature, 'EXECUTE')`, d.Functions)
		if err != nil {
			return err
		}
		switch {
		case len(missing) == 0:
			whole = append(whole, d.Name)
		case len(missing) < len(d.Functions):
			name, _, _ := strings.Cut(missing[0], "(")
			e.say(Warning, "run what `penstock grants ROLE --as "+d.Name+"` prints as the schema's owner; it may be repeated after each migration",
				"the role may do a part of what a %s does: %d of %d functions are missing, %s for one", d.Name, len(missing), len(d.Functions), name)
		}
	}
	if len(whole) == 0 {
		e.say(Problem, "run what `penstock grants ROLE --as producer|worker|operator|reporter` prints as the schema's owner", "the role is nothing here as a whole")
		return nil
	}
	e.fine("the role is %s", strings.Join(whole, ", "))
	return nil
}

// pooler looks whether somebody stands between here and Postgres, and hands a session's
// backend to others between two transactions: then what a worker says in one
// transaction (LISTEN, its advisory locks) is not there in the next.
func (e *exam) pooler(ctx context.Context) error {
	first, err := pgx.ConnectConfig(ctx, e.Pool.Config().ConnConfig.Copy())
	if err != nil {
		return err
	}
	defer first.Close(context.WithoutCancel(ctx))
	var mine, theirs uint32
	if err := first.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&mine); err != nil {
		return err
	}
	if mine == first.PgConn().PID() {
		e.fine("connected to Postgres itself")
		return nil
	}
	// The first connection stays. If a transaction of others is given its backend, the
	// backend is a transaction's and not a session's.
	for range 8 {
		other, err := pgx.ConnectConfig(ctx, e.Pool.Config().ConnConfig.Copy())
		if err != nil {
			return err
		}
		defer other.Close(context.WithoutCancel(ctx))
		tx, err := other.Begin(ctx)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&theirs); err != nil {
			return err
		}
		if theirs == mine {
			e.say(Warning, "give workers, servers and `penstock migrate` a URL that leads to Postgres itself or to a pool in session mode; producers may stay",
				"a pooler in transaction mode stands in between: workers are not woken by it and wait for their poll of a second, and migrations cannot lock")
			return nil
		}
	}
	e.fine("a pooler stands in between, in session mode as far as can be seen")
	return nil
}
