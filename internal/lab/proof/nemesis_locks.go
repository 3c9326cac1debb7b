package proof

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock"
)

// lockedRows cancels running jobs in a transaction that stays open, and they end just
// then. Their ends must wait, and no others.
type lockedRows struct {
	conn *pgx.Conn
	end  func()
}

func (*lockedRows) Name() string { return "locked rows" }

func (l *lockedRows) Start(ctx context.Context, a *testbed, _ *rand.Rand) (err error) {
	if l.conn, err = a.session(ctx); err != nil {
		return err
	}
	ids, answer, err := a.enqueue(ctx, a.client, 5, penstock.NewJob{Queue: busyQueue, Priority: penstock.Weight(100)},
		data{MS: int((backlogPace + 2*time.Second).Milliseconds())})
	if err != nil {
		answer(Unknown)
		return err
	}
	answer(OK)
	sleep(ctx, time.Second) // they run now
	if err := addBacklog(ctx, a); err != nil {
		return err
	}
	if _, err := l.conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	l.end = a.beginFault(Fault{Nemesis: l.Name(), HidesRows: true, MustEnd: busyQueue})
	_, err = l.conn.Exec(ctx, "SELECT FROM penstock.running WHERE job_id = ANY ($1) AND queue = '"+busyQueue+"' ORDER BY job_id FOR UPDATE", ids)
	return err
}

func (l *lockedRows) Heal(ctx context.Context, _ *testbed) error {
	if l.end != nil {
		l.end()
		l.end = nil
	}
	if l.conn != nil {
		_ = l.conn.Close(ctx) // Postgres rolls back
		l.conn = nil
	}
	return nil
}

// leakedTransactions are handlers that forget to commit the transaction of their
// completion. That must stop nobody else.
type leakedTransactions struct{ end func() }

func (*leakedTransactions) Name() string { return "leaked transactions" }

func (l *leakedTransactions) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	if err := addBacklog(ctx, a); err != nil {
		return err
	}
	err := a.enqueueNow(ctx, 6, penstock.NewJob{
		Queue: busyQueue, Name: jobLeak, Priority: penstock.Weight(100), MaxAttempts: 50,
		Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 50 * time.Millisecond},
	}, 0)
	if err == nil {
		l.end = a.beginFault(Fault{Nemesis: l.Name(), HidesRows: true, MustEnd: busyQueue})
	}
	return err
}

func (l *leakedTransactions) Heal(context.Context, *testbed) error {
	if l.end != nil {
		l.end()
		l.end = nil
	}
	return nil
}

// addBacklog enqueues more than the workers can do before and during the fault, so that
// their pace shows, and lets them work for a while.
func addBacklog(ctx context.Context, a *testbed) error {
	start := time.Now()
	for range backlogJobs / 1000 {
		if err := a.enqueueNow(ctx, 1000, penstock.NewJob{Queue: busyQueue}, 0); err != nil {
			return err
		}
	}
	sleep(ctx, backlogPace-time.Since(start))
	return nil
}

const (
	backlogJobs = 40_000
	backlogPace = 8 * time.Second // from the start of enqueueing to the fault
)
