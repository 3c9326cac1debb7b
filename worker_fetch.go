package penstock

import (
	"context"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/wait"
)

// fetcher claims for one queue of this process. There is one per queue: more
// claimers on a queue are slower, not faster.
type fetcher struct {
	q     *servedQueue
	mark  watermark
	woken <-chan struct{} // notifications
	local <-chan struct{} // enqueued by this process

	// How it rests between claims that found too little.
	notified   bool          // enqueue notifies; else the fetcher polls
	awakeSince time.Time     // when it last got up
	lingerTill time.Time     // it polls until then, then sleeps
	pollEvery  time.Duration // while not notified: what claims cost that find nothing, times four
	claimedAt  time.Time     // when the last claim was sent
	claimCost  time.Duration // of claims that bring something, commit included, smoothed
	jobBytes   int           // of a job's data, smoothed; 0: none came yet
	most       int           // jobs a claim may bring; lowered when one took too long

	// unsure is set when a claim's reply was lost: what it leased must be released.
	unsure      bool
	reconcileAt time.Time
}

const (
	fallbackPoll   = time.Second
	saturatedAfter = 100 * time.Millisecond
	leastPoll      = time.Millisecond
	mostPoll       = 10 * time.Millisecond
	lingerNotified = 8 * time.Millisecond // at least: enqueue sends at most one NOTIFY per queue and session every 5 ms
	mostLinger     = 100 * time.Millisecond
	awakeForLong   = 500 * time.Millisecond
	lingerPolling  = 12 * time.Millisecond // without notifications, a little longer
	reconcileEvery = 10 * time.Second
	reconcileShare = 50 // its cost is at most one part in so many
	claimTimeout   = 30 * time.Second
	// dueMargin is how much later the database may count from than this process does: on a
	// busy machine the question for the next due job is that long under way.
	dueMargin = 100 * time.Millisecond
)

// fetch claims until ctx ends. With StopWhenDrained it ends ctx itself when nothing is
// left.
func (q *servedQueue) fetch(ctx context.Context) {
	f := &fetcher{
		q: q, woken: q.worker.listener.Woken(q.name), local: q.worker.client.wakeups.channel(q.name),
		pollEvery: leastPoll, most: maxClaim, reconcileAt: time.Now().Add(reconcileEvery),
	}
	defer q.worker.listener.Want(q.name, false)
	failures := 0
	for ctx.Err() == nil {
		inc := q.worker.lease.incarnation(ctx)
		if inc == nil {
			return
		}
		f.reconcile(ctx, inc)
		n := min(q.wanted(), f.mostByBytes())
		if n == 0 {
			f.awaitRoom(ctx)
			continue
		}
		if q.avoids() {
			wait.For(ctx, avoidFor)
		}
		got, err := f.claim(ctx, inc, n)
		f.tune()
		switch {
		case err != nil:
			failures++
			f.failed(ctx, inc, err)
			wait.For(ctx, wait.Jitter(min(50*time.Millisecond<<min(failures, 5), fallbackPoll)))
			continue
		case got == n:
			f.lingerTill = time.Now().Add(lingerPolling)
		default:
			if got == 0 && q.worker.cfg.StopWhenDrained && q.worker.drained(ctx) {
				q.worker.stopFetching()
				return
			}
			f.rest(ctx, got)
		}
		failures = 0
	}
}

// awaitRoom waits until more jobs can be taken. When that takes long, this process needs
// no notifications, so it gives them up.
func (f *fetcher) awaitRoom(ctx context.Context) {
	if !f.notified {
		f.waitFor(ctx, nil, nil, f.q.room, fallbackPoll)
	} else if f.waitFor(ctx, nil, nil, f.q.room, saturatedAfter) == WokenByPoll {
		f.q.worker.listener.Want(f.q.name, false)
		f.notified = false
	}
}

// claim takes up to n jobs and starts them.
func (f *fetcher) claim(ctx context.Context, inc *incarnation, n int) (int, error) {
	w := f.q.worker
	// Not ctx: a claim cut off by shutdown would leave leases that no process knows.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	params := db.ClaimParams{
		Queue: f.q.name, WorkerID: inc.id, MaxJobs: int32(n), DefaultTimeout: f.q.cfg.Timeout, SweptFrom: 1,
	}
	var before horizon
	start := time.Now()
	sweep, full := f.mark.sweeps(start), true
	if !sweep {
		f.mark.apply(&params)
	} else if f.mark.on {
		now, err := w.queries.Horizon(within, f.q.name)
		if err != nil {
			w.hooks.Claimed(ClaimEvent{f.q.name, n, 0, time.Since(start), err, nil})
			return 0, translate("read the horizon", err)
		}
		start, before = time.Now(), horizon{now.At, now.Own, now.Under, now.Merged}
		full = f.mark.applySweep(&params, before, start)
	}
	f.claimedAt = start
	leases, err := w.queries.Claim(within, params)
	end := time.Now()
	w.hooks.Claimed(ClaimEvent{f.q.name, n, len(leases), end.Sub(start), err, db.TraceContexts(leases)})
	if err != nil {
		if within.Err() != nil { // large jobs over a slow link: fewer of them arrive in time
			f.most = max(n/4, 1)
		}
		if sweep && full {
			f.mark.postpone(end.Sub(start), end)
		}
		return 0, translate("claim jobs", err)
	}
	f.tookBytes(leases)
	if len(leases) == 0 {
		f.pollEvery = min(max(4*end.Sub(start), leastPoll), mostPoll)
	} else {
		if f.claimCost == 0 {
			f.claimCost = end.Sub(start)
		}
		f.claimCost += (end.Sub(start) - f.claimCost) / 8
	}
	if sweep {
		f.mark.swept(before, full, n, leases, end.Sub(start), end)
	} else {
		f.mark.took(leases)
	}
	f.q.take(leases, inc)
	return len(leases), nil
}

const (
	// claimBytes bounds the data that one claim brings, so that it arrives within
	// claimTimeout over a slow link too.
	claimBytes = 8 << 20
	// firstClaim is how many jobs the first claim of a queue may bring, since how large
	// they are is not known yet.
	firstClaim = 100
)

// mostByBytes is how many jobs the next claim may bring without becoming too large.
func (f *fetcher) mostByBytes() int {
	switch {
	case f.jobBytes == 0:
		return min(f.most, firstClaim)
	case f.jobBytes > claimBytes/maxClaim:
		return min(f.most, max(claimBytes/f.jobBytes, 1))
	}
	return f.most
}

// tookBytes learns from a claim how large jobs are. The largest claims count at once, smaller
// ones slowly, and what a claim may bring grows again with each that arrived.
func (f *fetcher) tookBytes(leases []db.Lease) {
	if len(leases) == 0 {
		return
	}
	sum := 0
	for i := range leases {
		sum += len(leases[i].Data)
	}
	f.jobBytes = max(sum/len(leases), f.jobBytes-f.jobBytes/8, 1)
	f.most = min(2*f.most, maxClaim)
}

// tune ends the notifications once the fetcher has been awake for long: it polls anyway.
// Postgres commits transactions that notify one after another, so enqueuers would soon be
// slow because they notify, and notify because they are slow (bench notify: 64 writers
// kept at 1,000 a second that commit 2,500 without).
func (f *fetcher) tune() {
	if f.notified && time.Since(f.awakeSince) > awakeForLong {
		f.q.worker.listener.Want(f.q.name, false)
		f.notified = false
	}
}

// linger is how long the fetcher stays awake after a job while it is notified. Enqueuers
// that commit one after another come no further apart than what a claim takes, which
// commits too.
func (f *fetcher) linger() time.Duration {
	return min(max(lingerNotified, 3*f.claimCost), mostLinger)
}

// rest waits after a claim that brought less than there was room for. While work
// keeps coming it polls; after a quiet moment it sleeps until it is notified,
// the next job falls due, or a second has passed.
func (f *fetcher) rest(ctx context.Context, got int) {
	linger, poll := lingerPolling, f.pollEvery
	if f.notified {
		linger, poll = f.linger(), leastPoll
	}
	now := time.Now()
	if got > 0 {
		f.lingerTill = now.Add(linger)
	}
	if now.Before(f.lingerTill) {
		f.wait(ctx, poll)
		return
	}
	if f.notified {
		f.wait(ctx, f.untilDue(ctx))
		f.awakeSince = time.Now()
		return
	}
	// Until just now enqueue may have found no sleeping fetcher. Claim again once the lock is
	// held, for as long as enqueue may leave out a NOTIFY.
	timer := time.NewTimer(fallbackPoll)
	defer timer.Stop()
	select {
	case <-f.q.worker.listener.Want(f.q.name, true):
	case <-timer.C:
	case <-ctx.Done():
	}
	now = time.Now()
	f.notified, f.awakeSince, f.lingerTill = true, now, now.Add(f.linger())
}

// untilDue is how long to sleep without a notification. It is 0 when a job has fallen due
// since the last claim.
func (f *fetcher) untilDue(ctx context.Context) time.Duration {
	since := time.Since(f.claimedAt)
	due, err := f.q.worker.queries.NextDue(ctx, db.NextDueParams{Queue: f.q.name, Swept: !f.mark.on, Since: since + dueMargin})
	if err != nil {
		return fallbackPoll
	}
	return min(max(due, leastPoll), fallbackPoll)
}

func (f *fetcher) wait(ctx context.Context, d time.Duration) {
	f.waitFor(ctx, f.woken, f.local, nil, d)
}

// waitFor waits for the first event that ends the rest, and calls the hook with it. A nil
// channel is not waited for.
func (f *fetcher) waitFor(ctx context.Context, notified, enqueued, room <-chan struct{}, most time.Duration) (by WakeReason) {
	start := time.Now()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-notified:
		by = WokenByNotification
	case <-enqueued:
		by = WokenByEnqueue
	case <-room:
		by = WokenByRoom
	case <-timer.C:
		by = WokenByPoll
	case <-ctx.Done():
		return ""
	}
	f.q.worker.hooks.Woken(WakeEvent{f.q.name, by, time.Since(start)})
	return by
}
