package penstock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/lab/failpoint"
)

// RunDue claims and runs due jobs of the worker's queues, one after another on the
// caller's goroutine, until none is due or most have run (0: no limit), and returns
// how each ended, in order. Queues take turns by name. It is for tests, and for
// programs that are started from time to time: there is no waiting for jobs
// that fall due later, no listening, and no upkeep of the database. Leases are held
// as in Run, so other workers may run at the same time.
//
// When ctx ends, the handler's context ends with cause ErrShutdown and its job is
// released. Errors: ctx's, and why Postgres did not do what was asked; the ends that
// came first are returned with them.
func (w *Worker) RunDue(ctx context.Context, most int) (ends []EndEvent, err error) {
	if !w.running.TryLock() {
		return nil, errors.New("penstock: this worker is running already")
	}
	defer w.running.Unlock()
	pool, err := w.connect("worker-claim", w.atOnce())
	if err != nil {
		return nil, fmt.Errorf("run due jobs: %w", err)
	}
	defer pool.Close()
	w.queries = db.New(failpoint.Wrap(pool))
	w.upkeep = w.queries
	if err := w.checkCustom(ctx); err != nil {
		return nil, fmt.Errorf("run due jobs: %w", err)
	}
	hooks := w.hooks
	defer func() { w.hooks = hooks }()
	w.hooks.Ended = func(e EndEvent) {
		ends = append(ends, e)
		hooks.Ended(e)
	}

	alive, die := context.WithCancel(context.WithoutCancel(ctx))
	defer die()
	w.startBeating(alive)
	defer w.lease.set(nil)
	defer w.drain(alive)
	defer context.AfterFunc(ctx, func() { w.lease.endAll(ErrShutdown) })()
	for more := true; more; {
		more = false
		for _, name := range w.Queues() {
			if most > 0 && len(ends) == most {
				return ends, nil
			}
			got, err := w.runNext(ctx, alive, w.queues[name])
			if err != nil {
				return ends, fmt.Errorf("run due jobs: %w", err)
			}
			more = more || got
		}
	}
	return ends, nil
}

// runNext claims a job of a queue, runs it and writes its end; false when none is due.
func (w *Worker) runNext(ctx, alive context.Context, q *servedQueue) (bool, error) {
	inc := w.lease.incarnation(ctx)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	// Not ctx: a claim cut off by it would leave a lease that no process knows.
	within, cancel := context.WithTimeout(alive, claimTimeout)
	defer cancel()
	leases, err := w.queries.Claim(within, db.ClaimParams{
		Queue: q.name, WorkerID: inc.id, MaxJobs: 1, DefaultTimeout: q.cfg.Timeout, SweptFrom: 1,
	})
	if err != nil || len(leases) == 0 {
		return false, translate("claim jobs", err)
	}
	x := q.execution(leases[0], inc, time.Now())
	q.mu.Lock()
	q.held[x.lease.JobID] = x
	q.mu.Unlock()
	// Written inside the callback, which a handler that calls runtime.Goexit, such as
	// a test's FailNow, cannot skip.
	q.run(x, func(e ending) { w.flusher.flush(alive, q, []ending{e}) })
	return true, nil
}
