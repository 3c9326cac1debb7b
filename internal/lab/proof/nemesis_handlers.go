package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/penstock/penstock"
)

// stuckHandlers are handlers that never return. Once they are overdue their jobs run
// again, but not in the process that still runs them.
type stuckHandlers struct{ nothingToHeal }

func (*stuckHandlers) Name() string { return "stuck handlers" }

func (s *stuckHandlers) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	a.beginFault(Fault{Nemesis: s.Name()})()
	return a.enqueueNow(ctx, 12, penstock.NewJob{
		Queue: busyQueue, Name: jobStuck, Timeout: time.Second, MaxAttempts: 50,
		Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 50 * time.Millisecond},
	}, 0)
}

// repeatedTransactions drops replies to commits of handlers that repeat their
// transaction then. The effect must be there once.
type repeatedTransactions struct{ nothingToHeal }

func (*repeatedTransactions) Name() string { return "repeated transactions" }

func (r *repeatedTransactions) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	var workers []*process
	a.fleet.each("worker", func(p *process) { workers = append(workers, p) })
	if len(workers) == 0 {
		return errNoTarget
	}
	for _, p := range workers {
		defer a.beginFault(Fault{Nemesis: r.Name(), Process: p.number, Breaks: true})()
	}
	for range 20 {
		for _, p := range workers {
			p.proxy.Cut("commit")
		}
		if err := a.enqueueNow(ctx, 3, penstock.NewJob{
			Queue: busyQueue, Name: jobRepeat, Priority: penstock.Weight(100), MaxAttempts: 50,
			Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 50 * time.Millisecond},
		}, 0); err != nil {
			return err
		}
		sleep(ctx, 100*time.Millisecond)
	}
	for _, p := range workers {
		p.proxy.Clear()
	}
	return nil
}

// lostHeartbeat ends the session over which a worker beats while no new connection is
// accepted. The worker has others that live, and must not be buried.
type lostHeartbeat struct {
	victim *process
	end    func()
}

func (*lostHeartbeat) Name() string { return "lost heartbeat session" }

func (l *lostHeartbeat) Start(ctx context.Context, a *testbed, rng *rand.Rand) error {
	if l.victim = a.fleet.pick(rng, "worker"); l.victim == nil {
		return errNoTarget
	}
	l.end = a.beginFault(Fault{Nemesis: l.Name(), Process: l.victim.number, Breaks: true})
	l.victim.proxy.Refuse(true)
	ended, err := queryOne[int](ctx, a, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE application_name = $1 AND query LIKE '%penstock.heartbeat(%'`, fmt.Sprintf(appName, "worker", l.victim.number))
	if err == nil && ended == 0 {
		err = errNoTarget
	}
	return err
}

func (l *lostHeartbeat) Heal(context.Context, *testbed) error {
	if l.victim != nil {
		l.victim.proxy.Refuse(false)
		l.end()
		l.victim = nil
	}
	return nil
}
