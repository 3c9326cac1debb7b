package remote

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/db"
)

const (
	mostJobs     = 1000             // of one call
	mostWait     = 30 * time.Second // of one claim
	claimTimeout = 30 * time.Second
)

// ClaimRequest asks for jobs for a remote worker.
type ClaimRequest struct {
	// ID is chosen by the worker, a new one for each claim: 1–64 letters, digits and
	// . _ - :. Repeating a claim with its ID returns the same leases, so a lost reply
	// loses nothing.
	ID     string
	Queues []string      // in this order, of those it registered for; nil: all of them
	Limit  int           // 1–1,000; 0: 1
	Wait   time.Duration // for the first job to come, up to 30 s; 0: none
}

// Claim leases due jobs to the worker: up to Limit, as soon as there is one, and none
// when Wait has passed. When ctx ends, the wait ends, and what was leased is given back.
// Errors: penstock.ErrWorkerGone, *penstock.ArgumentError, ctx's.
func (w Worker) Claim(ctx context.Context, req ClaimRequest) ([]Job, error) {
	if req.Limit == 0 {
		req.Limit = 1
	}
	if req.Wait < 0 || req.Wait > mostWait {
		return nil, fmt.Errorf("claim jobs: %w", refuse("wait", "0 to 30000 ms", req.Wait.Milliseconds()))
	}
	jobs, err := w.claimNow(ctx, req)
	if err != nil || len(jobs) > 0 || req.Wait == 0 {
		return jobs, err
	}
	queues := req.Queues
	if queues == nil {
		queues, err = w.engine.queries.RemoteQueues(ctx, db.RemoteQueuesParams{WorkerID: w.ID, Owner: w.owner})
		if err != nil {
			return nil, translate("claim jobs", err)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, req.Wait)
	defer cancel()
	p := w.engine.line.join(w.ID, queues)
	if p == nil { // Run has not begun, or has ended
		return nil, nil
	}
	defer w.engine.line.leave(p)
	w.engine.line.awaitListening(waiting, p)
	for {
		// Once more now that enqueue notifies, and then at each turn of this claim.
		jobs, err = w.claimNow(ctx, req)
		if err != nil || len(jobs) > 0 {
			break
		}
		if !w.engine.line.await(waiting, p) {
			return nil, nil
		}
		if p.gone.Load() {
			return nil, fmt.Errorf("claim jobs: %w", penstock.ErrWorkerGone)
		}
	}
	if len(jobs) == req.Limit { // perhaps there are more: the next in line may claim
		w.engine.line.call(queues)
	}
	return jobs, err
}

// claimNow claims once. It does not end with ctx: after a claim that was cut off it would
// be unknown which jobs are leased.
func (w Worker) claimNow(ctx context.Context, req ClaimRequest) ([]Job, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	start := time.Now()
	leases, err := w.engine.queries.RemoteClaim(within, db.RemoteClaimParams{
		WorkerID: w.ID, Owner: w.owner, ClaimID: req.ID, MaxJobs: clampInt32(req.Limit), FromQueues: req.Queues,
	})
	w.report(req, leases, time.Since(start), err)
	if err != nil {
		return nil, translate("claim jobs", err)
	}
	jobs := make([]Job, len(leases))
	for i := range leases {
		jobs[i] = jobOf(leases[i])
	}
	if len(jobs) > 0 && ctx.Err() != nil { // the caller has left
		w.giveBack(within, jobs)
		return nil, ctx.Err()
	}
	return jobs, nil
}

// report calls the hook for a claim: once for each queue of which it brought jobs.
func (w Worker) report(req ClaimRequest, leases []db.Lease, took time.Duration, err error) {
	if len(leases) == 0 {
		event := penstock.ClaimEvent{Asked: req.Limit, Took: took, Err: err}
		if len(req.Queues) == 1 {
			event.Queue = req.Queues[0]
		}
		w.engine.hooks.Claimed(event)
		return
	}
	for rest := leases; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Queue == rest[0].Queue {
			n++
		}
		w.engine.hooks.Claimed(penstock.ClaimEvent{
			Queue: rest[0].Queue, Asked: req.Limit, Jobs: n, Took: took, TraceContexts: db.TraceContexts(rest[:n]),
		})
		rest = rest[n:]
	}
}

func (w Worker) giveBack(ctx context.Context, jobs []Job) {
	ends := make([]End, len(jobs))
	for i, j := range jobs {
		ends[i] = End{Queue: j.Queue, Held: Held{j.ID, j.Attempt}, Outcome: penstock.OutcomeReleased}
	}
	if _, err := w.Finish(ctx, ends); err != nil {
		w.engine.log.Warn("could not give back jobs whose worker stopped waiting; they run again when its lease ends",
			"step", "claim", "worker_id", w.ID, "jobs", len(jobs), "error", err)
	}
}
