package proof

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock"
)

// heldClaim is a claim whose transaction stays open and then rolls back. It locks the
// first rows of the queue. Other claims must go on, and its jobs must be claimable
// afterwards.
type heldClaim struct {
	conn *pgx.Conn
	end  func()
}

func (*heldClaim) Name() string { return "held claim" }

// heldRowsSQL locks rows as a claim does.
const heldRowsSQL = "SELECT FROM penstock.pending WHERE job_id = ANY ($1) ORDER BY job_id FOR UPDATE"

func (h *heldClaim) Start(ctx context.Context, a *testbed, _ *rand.Rand) (err error) {
	if h.conn, err = a.session(ctx); err != nil {
		return err
	}
	// The rows are locked before they are due, and are first in order once due.
	ids, answer, err := a.enqueue(ctx, a.client, 5, penstock.NewJob{Queue: busyQueue, Delay: time.Second, Priority: penstock.Weight(100)}, data{})
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
	sleep(ctx, time.Second)
	h.end = a.beginFault(Fault{Nemesis: h.Name(), HidesRows: true, MustFlow: busyQueue})
	// Other jobs must wait behind the locked rows, whatever the producers do.
	for range 4 {
		answer, err := a.enqueuePlain(ctx, a.client, busyQueue, 20)
		if err != nil {
			answer(Unknown)
			return err
		}
		answer(OK)
		sleep(ctx, time.Second)
	}
	return nil
}

func (h *heldClaim) Heal(ctx context.Context, _ *testbed) error {
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

// lateClaim is a claim that commits after its worker was buried. Its leases belong to a
// worker that no longer exists; the orphan sweep must find them. The queue is paused
// for all other transactions.
type lateClaim struct {
	conn *pgx.Conn
	end  func()
}

func (*lateClaim) Name() string { return "late claim" }

func (l *lateClaim) Start(ctx context.Context, a *testbed, _ *rand.Rand) (err error) {
	l.end = a.beginFault(Fault{Nemesis: l.Name(), HidesRows: true})
	if l.conn, err = a.session(ctx); err != nil {
		return err
	}
	if err := a.client.Queues.Pause(ctx, lateQueue); err != nil {
		return err
	}
	answer, err := a.enqueuePlain(ctx, a.client, lateQueue, 5)
	if err != nil {
		answer(Unknown)
		return err
	}
	answer(OK)
	worker, err := queryOne[int64](ctx, a, "SELECT penstock.register_worker('{"+lateQueue+"}')")
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
		return errNoTarget
	}
	_, err = queryOne[*int](ctx, a, "SELECT penstock.bury($1, 0)", worker)
	return err
}

func (l *lateClaim) Heal(ctx context.Context, a *testbed) (err error) {
	if l.conn != nil {
		_, err = l.conn.Exec(ctx, "COMMIT")
		_ = l.conn.Close(ctx)
		l.conn = nil
	}
	l.end()
	return errors.Join(err, retryUntilDone(ctx, func() error { return a.client.Queues.Resume(ctx, lateQueue) }))
}

// staleSweeper is a sweeper that slept for a lease between reading the heartbeats and
// the burial. A worker that has beaten since must not be buried: bury compares the
// beats.
type staleSweeper struct {
	since time.Time
	beats map[int64]int64
}

func (*staleSweeper) Name() string { return "stale sweeper" }

func (s *staleSweeper) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
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
	a.beginFault(Fault{Nemesis: s.Name()})()
	return err
}

func (s *staleSweeper) Heal(ctx context.Context, a *testbed) error {
	if a.disturbed(s.since) { // no worker could beat for a while; a sweeper starts over then
		s.beats = nil
	}
	for id, beat := range s.beats {
		if _, err := queryOne[*int](ctx, a, "SELECT penstock.bury($1, $2)", id, beat); err != nil {
			return err
		}
	}
	return nil
}
