package proof

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// heldClaim is a claim whose transaction stays open and then rolls back. It holds up
// nobody else, and what it took is there again.
type heldClaim struct {
	conn *pgx.Conn
	end  func()
}

func (*heldClaim) Name() string { return "held claim" }

func (h *heldClaim) Start(ctx context.Context, a *arena, _ *rand.Rand) (err error) {
	if h.conn, err = a.session(ctx); err != nil {
		return err
	}
	h.end = a.fault(Fault{Nemesis: h.Name(), Hides: true, Flows: true})
	if _, err = h.conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	for range 20 { // until there is something to hold
		var held int
		err = h.conn.QueryRow(ctx, "SELECT count(*) FROM penstock.claim('"+busyQueue+"', penstock.register_worker('{"+busyQueue+"}'), 5)").Scan(&held)
		if err != nil || held > 0 || !rest(ctx, 20*time.Millisecond) {
			break
		}
	}
	if err != nil {
		return err
	}
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
	if h.conn != nil {
		h.end()
		_ = h.conn.Close(ctx)
		h.conn = nil
	}
	return nil
}

// lateClaim is a claim that commits after its worker was buried: what it leased belongs
// to nobody, and a sweep must find it.
type lateClaim struct {
	conn   *pgx.Conn
	worker int64
}

func (*lateClaim) Name() string { return "late claim" }

func (l *lateClaim) Start(ctx context.Context, a *arena, _ *rand.Rand) (err error) {
	if l.worker, err = ask[int64](ctx, a, "SELECT penstock.register_worker('{"+busyQueue+"}')"); err != nil {
		return err
	}
	if l.conn, err = a.session(ctx); err != nil {
		return err
	}
	a.fault(Fault{Nemesis: l.Name(), Hides: true})()
	if _, err = l.conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	for range 100 {
		var held int
		err = l.conn.QueryRow(ctx, "SELECT count(*) FROM penstock.claim('"+busyQueue+"', $1, 5)", l.worker).Scan(&held)
		if err != nil || held > 0 || !rest(ctx, 10*time.Millisecond) {
			return err
		}
	}
	return errNobody
}

func (l *lateClaim) Heal(ctx context.Context, a *arena) error {
	if l.worker != 0 {
		if _, err := ask[*int](ctx, a, "SELECT penstock.bury($1, 0)", l.worker); err != nil {
			return err
		}
		l.worker = 0
	}
	if l.conn == nil {
		return nil
	}
	conn := l.conn
	l.conn = nil
	defer conn.Close(ctx)
	_, err := conn.Exec(ctx, "COMMIT")
	return err
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
