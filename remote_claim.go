package penstock

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/db"
)

const (
	maxRemote     = 1000 // jobs of one call
	maxRemoteWait = 30 * time.Second
)

// ClaimRequest asks for jobs of a remote worker.
type ClaimRequest struct {
	// ID is the client's own, another for each claim: 1–64 letters, digits and . _ - :.
	// Repeating a claim whose reply was lost under its ID returns the same leases.
	ID     string
	Queues []string      // in this order, of those it registered for; nil: all of them
	Limit  int           // 1–1,000; 0: 1
	Wait   time.Duration // for the first job to come, up to 30 s; 0: none
}

// Claim leases due jobs to the worker: up to Limit at once, as soon as there is one,
// and none when Wait has passed. ctx ends the waiting; what was leased by then is
// given back.
func (w RemoteWorker) Claim(ctx context.Context, req ClaimRequest) ([]RemoteJob, error) {
	if req.Limit == 0 {
		req.Limit = 1
	}
	if req.Wait < 0 || req.Wait > maxRemoteWait {
		return nil, fmt.Errorf("claim jobs: %w", refuse("wait", "0 to 30000 ms", req.Wait.Milliseconds()))
	}
	jobs, err := w.claimNow(ctx, req)
	if err != nil || len(jobs) > 0 || req.Wait == 0 {
		return jobs, err
	}
	queues := req.Queues
	if queues == nil {
		queues, err = w.remote.client.queries.RemoteQueues(ctx, db.RemoteQueuesParams{WorkerID: w.ID, Owner: w.owner})
		if err != nil {
			return nil, translate("claim jobs", err)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, req.Wait)
	defer cancel()
	place := w.remote.line.join(w.ID, queues)
	if place == nil { // Run has not begun, or has ended
		return nil, nil
	}
	defer w.remote.line.leave(place)
	w.remote.line.heard(waiting, place)
	for {
		// Once more now that enqueue notifies, and then whenever it is this one's turn.
		jobs, err = w.claimNow(ctx, req)
		if err != nil || len(jobs) > 0 {
			break
		}
		if !w.remote.line.wait(waiting, place) {
			return nil, nil
		}
		if place.gone.Load() {
			return nil, fmt.Errorf("claim jobs: %w", ErrWorkerGone)
		}
	}
	if len(jobs) == req.Limit { // perhaps more: the next in line may look
		w.remote.line.call(queues)
	}
	return jobs, err
}

// claimNow claims once. Not under ctx: a claim cut off would leave leases of which
// nobody here knows whether they are.
func (w RemoteWorker) claimNow(ctx context.Context, req ClaimRequest) ([]RemoteJob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	start := time.Now()
	leases, err := w.remote.client.queries.RemoteClaim(within, db.RemoteClaimParams{
		WorkerID: w.ID, Owner: w.owner, ClaimID: req.ID, MaxJobs: clampInt32(req.Limit), FromQueues: req.Queues,
	})
	w.report(req, leases, time.Since(start), err)
	if err != nil {
		return nil, translate("claim jobs", err)
	}
	jobs := make([]RemoteJob, len(leases))
	for i := range leases {
		jobs[i] = remoteJob(leases[i])
	}
	if len(jobs) > 0 && ctx.Err() != nil { // nobody is there to take them
		w.giveBack(within, jobs)
		return nil, ctx.Err()
	}
	return jobs, nil
}

// report tells the hooks of a claim: once per queue that it brought jobs of.
func (w RemoteWorker) report(req ClaimRequest, leases []db.Lease, took time.Duration, err error) {
	if len(leases) == 0 {
		event := ClaimEvent{Asked: req.Limit, Took: took, Err: err}
		if len(req.Queues) == 1 {
			event.Queue = req.Queues[0]
		}
		w.remote.client.hooks.Claimed(event)
		return
	}
	for rest := leases; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Queue == rest[0].Queue {
			n++
		}
		w.remote.client.hooks.Claimed(ClaimEvent{rest[0].Queue, req.Limit, n, took, nil, rest[:n]})
		rest = rest[n:]
	}
}

func (w RemoteWorker) giveBack(ctx context.Context, jobs []RemoteJob) {
	ends := make([]RemoteEnd, len(jobs))
	for i, j := range jobs {
		ends[i] = RemoteEnd{Queue: j.Queue, HeldAttempt: HeldAttempt{j.ID, j.Attempt}, Outcome: outcomeReleased}
	}
	if _, err := w.Finish(ctx, ends); err != nil {
		w.remote.client.log.Warn("could not give back what a worker did not wait for; its burial will",
			zap.Int64("worker_id", w.ID), zap.Int("jobs", len(jobs)), zap.Error(err))
	}
}
