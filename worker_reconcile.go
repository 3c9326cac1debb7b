package penstock

import (
	"context"
	"errors"
	"time"

	"github.com/penstock/penstock/db"
)

// failed notes what a failed claim means: a worker that was declared dead registers again,
// and after a lost reply, the leased jobs have to be given back.
func (f *fetcher) failed(ctx context.Context, inc *incarnation, err error) {
	if errors.Is(err, ErrWorkerGone) {
		f.q.worker.lease.lost(inc)
		return
	}
	f.unsure = f.unsure || replyLost(err)
	if ctx.Err() == nil {
		f.q.worker.logger().Warn("claim failed; trying again", "step", "claim", "queue", f.q.name, "error", err)
	}
}

// reconcile releases jobs that Postgres has leased to this worker and that this process
// does not hold: at once after a lost reply, and now and then, since a claim whose
// connection broke can still commit later.
func (f *fetcher) reconcile(ctx context.Context, inc *incarnation) {
	if !f.unsure && time.Now().Before(f.reconcileAt) {
		return
	}
	within, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	start := time.Now()
	ids, claimedAts := f.q.heldLeases()
	released, err := f.q.worker.queries.ReleaseUnheld(within, db.ReleaseUnheldParams{
		Queue: f.q.name, WorkerID: inc.id, Held: ids, ClaimedAts: claimedAts,
	})
	if err != nil {
		return // the claim that follows fails alike and reports it
	}
	now, rest := time.Now(), reconcileEvery
	if !f.unsure {
		// It reads all that runs, and what ran and cannot be cleaned yet; claims wait for it.
		rest = max(rest, reconcileShare*now.Sub(start))
	}
	f.unsure, f.reconcileAt = false, now.Add(rest)
	if released > 0 {
		f.q.worker.logger().Info("released jobs of a claim whose reply was lost",
			"step", "reconcile", "queue", f.q.name, "jobs", released)
	}
}
