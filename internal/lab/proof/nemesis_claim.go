package proof

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock"
)

// heldClaim is a claim whose transaction stays open and then rolls back: it holds the
// first rows of the queue. Nobody else is held up by it, and its jobs are there again.
type heldClaim struct {
	conn *pgx.Conn
	end  func()
}

func (*heldClaim) Name() string { return "held claim" }

// heldRowsSQL locks rows as a claim does.
const heldRowsSQL = "SELECT FROM penstock.pending WHERE job_id = ANY ($1) ORDER BY job_id FOR UPDATE"

func (h *heldClaim) Start(ctx context.Context, a *arena, _ *rand.Rand) (err error) {
	if h.conn, err = a.session(ctx); err != nil {
		return err
	}
	// The rows are had before anybody may claim them, and go first once that is so.
	ids, answer, err := a.enqueue(ctx, a.client, 5, penstock.NewJob{Queue: busyQueue, Delay: time.Second, Priority: penstock.Weight(100)})
	if err != nil {
		answer(Unknown)
		return err
	}
	answer(OK)
	if _, err := h.conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	if _, err := h.conn.Exec(ctx, heldRowsSQL, ids); err != nil {
		return err
	}
	rest(ctx, time.Second)
	h.end = a.fault(Fault{Nemesis: h.Name(), Hides: true, Flows: busyQueue})
	// Something waits behind what is held, whatever producers do meanwhile.
	for range 4 {
		answer, err := a.plain(ctx, a.client, busyQueue, 20)
		if err != nil {
			answer(Unknown)
			return err
		}
		answer(OK)
		rest(ctx, time.Second)
	}
	return nil
}

func (h *heldClaim) Heal(ctx context.Context, _ *arena) error {
	if h.end != nil {
		h.end()
		h.end = nil
	}
	if h.conn != nil {
		_ = h.conn.Close(ctx)
		h.conn = nil
	}
	return nil
}

// lateClaim is a claim that commits after its worker was buried: what it leased belongs
// to nobody, and a sweep must find it. Its queue is paused for all but this transaction.
type lateClaim struct {
	conn *pgx.Conn
	end  func()
}

func (*lateClaim) Name() string { return "late claim" }

func (l *lateClaim) Start(ctx context.Context, a *arena, _ *rand.Rand) (err error) {
	l.end = a.fault(Fault{Nemesis: l.Name(), Hides: true})
	if l.conn, err = a.session(ctx); err != nil {
		return err
	}
	if err := a.client.PauseQueue(ctx, lateQueue); err != nil {
		return err
	}
	answer, err := a.plain(ctx, a.client, lateQueue, 5)
	if err != nil {
		answer(Unknown)
		return err
	}
	answer(OK)
	worker, err := ask[int64](ctx, a, "SELECT penstock.register_worker('{"+lateQueue+"}')")
	if err != nil {
		return err
	}
	var taken int
	if _, err := l.conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT penstock.resume_queue('"+lateQueue+"')"); err != nil {
		return err
	}
	if err := l.conn.QueryRow(ctx, "SELECT count(*) FROM penstock.claim('"+lateQueue+"', $1, 5)", worker).Scan(&taken); err != nil {
		return err
	}
	if taken == 0 {
		return errNobody
	}
	_, err = ask[*int](ctx, a, "SELECT penstock.bury($1, 0)", worker)
	return err
}

func (l *lateClaim) Heal(ctx context.Context, a *arena) (err error) {
	if l.conn != nil {
		_, err = l.conn.Exec(ctx, "COMMIT")
		_ = l.conn.Close(ctx)
		l.conn = nil
	}
	l.end()
	return errors.Join(err, persist(ctx, func() error { return a.client.ResumeQueue(ctx, lateQueue) }))
}

// staleSweeper is a sweeper that slept between the look and the burial, for a lease: who
// has beaten since is alive, and the comparison of beats must tell it so.
type staleSweeper struct {
	since time.Time
	beats map[int64]int64
}

func (*staleSweeper) Name() string { return "stale sweeper" }

func (s *staleSweeper) Start(ctx context.Context, a *arena, _ *rand.Rand) error {
	s.since, s.beats = time.Now(), map[int64]int64{}
	rows, err := a.pool.Query(ctx, "SELECT id, beat FROM penstock.workers WHERE beat > 0")
	if err != nil {
		return err
	}
	var id, beat int64
	_, err = pgx.ForEachRow(rows, []any{&id, &beat}, func() error {
		s.beats[id] = beat
		return nil
	})
	a.fault(Fault{Nemesis: s.Name()})()
	return err
}

func (s *staleSweeper) Heal(ctx context.Context, a *arena) error {
	if a.disturbed(s.since) { // nobody could beat for a while: a sweeper that knows it starts over
		s.beats = nil
	}
	for id, beat := range s.beats {
		if _, err := ask[*int](ctx, a, "SELECT penstock.bury($1, $2)", id, beat); err != nil {
			return err
		}
	}
	return nil
}
