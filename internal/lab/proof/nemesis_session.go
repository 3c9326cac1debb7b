package proof

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// exhaustConnections takes every connection that the server allows.
type exhaustConnections struct {
	taken []*pgx.Conn
	end   func()
}

func (*exhaustConnections) Name() string { return "connections exhausted" }

func (e *exhaustConnections) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	e.end = a.beginFault(Fault{Nemesis: e.Name(), Mute: true})
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

func (e *exhaustConnections) Heal(ctx context.Context, _ *testbed) error {
	for _, conn := range e.taken {
		_ = conn.Close(ctx) // other faults may have broken some
	}
	e.taken = nil
	e.end()
	return nil
}

// isolationDefault changes the database's default isolation level and ends all
// sessions, so that new ones get it. The library must set the level it needs itself.
type isolationDefault struct{ end func() }

func (*isolationDefault) Name() string { return "isolation default" }

func (i *isolationDefault) Start(ctx context.Context, a *testbed, rng *rand.Rand) error {
	level := []string{"serializable", "repeatable read"}[rng.IntN(2)]
	i.end = a.beginFault(Fault{Nemesis: i.Name(), Breaks: true, Note: level})
	return i.set(ctx, a, "ALTER DATABASE postgres SET default_transaction_isolation = '"+level+"'")
}

func (i *isolationDefault) set(ctx context.Context, a *testbed, sql string) error {
	if err := a.exec(ctx, sql); err != nil {
		return err
	}
	return a.exec(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'proof %'`)
}

func (i *isolationDefault) Heal(ctx context.Context, a *testbed) error {
	defer i.end()
	return retryUntilDone(ctx, func() error { return i.set(ctx, a, "ALTER DATABASE postgres RESET default_transaction_isolation") })
}

// retryUntilDone repeats an action until it succeeds, through other faults.
func retryUntilDone(ctx context.Context, mend func() error) error {
	for {
		err := mend()
		if err == nil || !sleep(ctx, 200*time.Millisecond) {
			return err
		}
	}
}

// heldSnapshot holds a snapshot. Dead rows cannot be removed during that time, and
// claims must not slow down by reading them.
type heldSnapshot struct {
	conn *pgx.Conn
	end  func()
}

func (*heldSnapshot) Name() string { return "held snapshot" }

func (s *heldSnapshot) Start(ctx context.Context, a *testbed, _ *rand.Rand) (err error) {
	if s.conn, err = a.session(ctx); err != nil {
		return err
	}
	s.end = a.beginFault(Fault{Nemesis: s.Name()})
	_, err = s.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM penstock.pending")
	return err
}

func (s *heldSnapshot) Heal(ctx context.Context, _ *testbed) error {
	if s.conn != nil {
		_ = s.conn.Close(ctx)
		s.conn = nil
		s.end()
	}
	return nil
}

// secondEnd inserts a second end of an ended attempt, as a faulty client might. The
// primary key must refuse it.
type secondEnd struct{ nothingToHeal }

func (*secondEnd) Name() string { return "second end" }

func (s *secondEnd) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	a.beginFault(Fault{Nemesis: s.Name()})()
	tag, err := a.pool.Exec(ctx, `INSERT INTO penstock.attempts (job_id, run_at, claimed_at, finished_at, worker_id, attempt,
			priority, queue, name, outcome)
		SELECT job_id, run_at, claimed_at, clock_timestamp(), worker_id, attempt, priority, queue, name, 'failed'
		FROM penstock.attempts ORDER BY job_id DESC, attempt DESC LIMIT 1`)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "23505": // unique_violation
		return nil
	case err == nil && tag.RowsAffected() == 0:
		return errNoTarget
	}
	return err
}
