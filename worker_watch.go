package penstock

import (
	"context"
	"log/slog"
	"time"

	"github.com/penstock/penstock/db"
)

const (
	watchedAfter = time.Second      // of running: a lease is checked from then on
	mostLeases   = 2000             // leases checked with one beat
	stuckAfter   = 30 * time.Second // a handler that has not returned so long after its context ended is stuck
)

// watch ends the contexts of handlers whose attempts were ended by somebody else: by their
// deadline, or by a call. It runs with each beat, so such a handler hears of it within 2 s.
// Attempts of less than a second are not checked: short jobs pay nothing.
func (h *leaseholder) watch(ctx context.Context, queries *db.Queries, inc *incarnation) error {
	params := db.LostLeasesParams{WorkerID: inc.id}
	for _, q := range h.worker.queues {
		for _, x := range q.runningLong(mostLeases - len(params.JobIDs)) {
			params.Queues, params.JobIDs = append(params.Queues, q.name), append(params.JobIDs, x.lease.JobID)
			params.Attempts = append(params.Attempts, x.lease.Attempt)
		}
	}
	if len(params.JobIDs) == 0 {
		return nil
	}
	lost, err := queries.LostLeases(ctx, params)
	if err != nil {
		return translate("check leases", err)
	}
	if len(lost) > 0 {
		for _, q := range h.worker.queues {
			q.endHeld(lost, ErrLeaseLost)
		}
	}
	return nil
}

// stuck counts the handlers that did not return although their contexts ended long ago, and
// logs each once.
func (h *leaseholder) stuck() (sum int) {
	for _, q := range h.worker.queues {
		n, found := q.findStuck(time.Now())
		sum += n
		for _, x := range found {
			h.worker.logger().Error("a handler did not return after its context ended; it keeps its slot until this process ends",
				slog.String("step", "heartbeat"), slog.String("queue", q.name), slog.String("name", x.lease.Name),
				slog.Int64("job_id", x.lease.JobID), slog.Int("attempt", int(x.lease.Attempt)))
		}
		if len(found) > 0 && n >= q.cfg.Concurrency {
			h.worker.logger().Error("every slot of the queue is taken by a handler that does not return; restart this process",
				slog.String("step", "heartbeat"), slog.String("queue", q.name), slog.Int("slots", n))
		}
	}
	return sum
}

// runningLong returns up to n attempts whose handlers have run for long and may go on. The
// order is random, so that each is returned sooner or later where there are more.
func (q *servedQueue) runningLong(n int) (found []*execution) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := time.Now().Add(-watchedAfter)
	for _, x := range q.held {
		if len(found) >= n {
			break
		}
		// After CompleteTx the handler may go on although the attempt has ended.
		if !x.started.IsZero() && x.started.Before(before) && !x.over.Load() && !x.inTx.Load() && x.ctx.ended() == nil {
			found = append(found, x)
		}
	}
	return found
}

// findStuck counts the stuck handlers and returns those that have become so.
func (q *servedQueue) findStuck(now time.Time) (n int, found []*execution) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, x := range q.held {
		switch {
		case x.started.IsZero() || x.over.Load() || x.ctx.ended() == nil:
			continue
		case x.endedAt.IsZero():
			x.endedAt = now
		case now.Sub(x.endedAt) < stuckAfter:
		case !x.stuck:
			x.stuck = true
			found = append(found, x)
		}
		if x.stuck {
			n++
		}
	}
	return n, found
}
