package proof

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// exhaust takes every connection that the server gives.
type exhaust struct {
	taken []*pgx.Conn
	end   func()
}

func (*exhaust) Name() string { return "connections exhausted" }

func (e *exhaust) Start(ctx context.Context, a *arena, _ *rand.Rand) error {
	e.end = a.fault(Fault{Nemesis: e.Name(), Mute: true})
	for {
		conn, err := a.session(ctx)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "53300" { // too_many_connections
			return nil
		}
		if err != nil {
			return err
		}
		e.taken = append(e.taken, conn)
	}
}

func (e *exhaust) Heal(ctx context.Context, _ *arena) error {
	for _, conn := range e.taken {
		_ = conn.Close(ctx) // some were broken by others meanwhile
	}
	e.taken = nil
	e.end()
	return nil
}

// isolation changes the database's default, for sessions that begin from now on: all
// are ended. What the library relies on it has to ask for itself.
type isolation struct{ end func() }

func (*isolation) Name() string { return "isolation default" }

func (i *isolation) Start(ctx context.Context, a *arena, rng *rand.Rand) error {
	level := []string{"serializable", "repeatable read"}[rng.IntN(2)]
	i.end = a.fault(Fault{Nemesis: i.Name(), Breaks: true, Note: level})
	return i.set(ctx, a, "ALTER DATABASE postgres SET default_transaction_isolation = '"+level+"'")
}

func (i *isolation) set(ctx context.Context, a *arena, sql string) error {
	if err := a.exec(ctx, sql); err != nil {
		return err
	}
	return a.exec(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'proof %'`)
}

func (i *isolation) Heal(ctx context.Context, a *arena) error {
	defer i.end()
	return persist(ctx, func() error { return i.set(ctx, a, "ALTER DATABASE postgres RESET default_transaction_isolation") })
}

// persist repeats what must be mended until it is, through whatever else is broken.
func persist(ctx context.Context, mend func() error) error {
	for {
		err := mend()
		if err == nil || !rest(ctx, 200*time.Millisecond) {
			return err
		}
	}
}

// snapshot holds one: nothing that dies meanwhile can be cleaned away, and claims walk
// over it unless they know better.
type snapshot struct {
	conn *pgx.Conn
	end  func()
}

func (*snapshot) Name() string { return "held snapshot" }

func (s *snapshot) Start(ctx context.Context, a *arena, _ *rand.Rand) (err error) {
	if s.conn, err = a.session(ctx); err != nil {
		return err
	}
	s.end = a.fault(Fault{Nemesis: s.Name()})
	_, err = s.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM penstock.pending")
	return err
}

func (s *snapshot) Heal(ctx context.Context, _ *arena) error {
	if s.conn != nil {
		_ = s.conn.Close(ctx)
		s.conn = nil
		s.end()
	}
	return nil
}

// secondEnd records, as a client that is wrong in some other language might, an attempt
// that has ended as ended once more. The key must refuse it.
type secondEnd struct{ instant }

func (*secondEnd) Name() string { return "second end" }

func (s *secondEnd) Start(ctx context.Context, a *arena, _ *rand.Rand) error {
	a.fault(Fault{Nemesis: s.Name()})()
	tag, err := a.pool.Exec(ctx, `INSERT INTO penstock.attempts (job_id, run_at, claimed_at, finished_at, worker_id, attempt,
			priority, queue, name, outcome)
		SELECT job_id, run_at, claimed_at, clock_timestamp(), worker_id, attempt, priority, queue, name, 'failed'
		FROM penstock.attempts ORDER BY job_id DESC, attempt DESC LIMIT 1`)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "23505": // unique_violation
		return nil
	case err == nil && tag.RowsAffected() == 0:
		return errNobody
	}
	return err
}
