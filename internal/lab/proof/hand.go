package proof

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
)

// data is what a proof's jobs carry.
type data struct {
	N     int64 `json:"n"`
	Fails int   `json:"fails,omitempty"` // of flaky: so many attempts fail
	MS    int   `json:"ms,omitempty"`    // how long the handler takes
}

// The jobs, by what their handlers do.
const (
	jobPlain    = "plain"    // completes
	jobResult   = "result"   // completes with a result
	jobPoison   = "poison"   // completes with a result that Postgres refuses, then without
	jobEffect   = "effect"   // completes in the transaction of its effect
	jobFlaky    = "flaky"    // fails some times, then completes
	jobSnooze   = "snooze"   // snoozes once, then completes
	jobHopeless = "hopeless" // goes to the dead letter queue
)

var errFlaky, errHopeless = errors.New("no luck this time"), errors.New("no hope")

// hand is a worker process.
type hand struct {
	setup
	history *recorder
	pool    *pgxpool.Pool
	worker  *penstock.Worker
}

func (h *hand) work(ctx context.Context, log *zap.Logger) error {
	client, err := penstock.NewClient(h.pool, penstock.Config{Logger: log, Hooks: penstock.Hooks{Ended: h.told}})
	if err != nil {
		return err
	}
	h.worker, err = penstock.NewWorker(client, penstock.WorkerConfig{
		Queues:          map[string]penstock.QueueConfig{busyQueue: {Concurrency: 32}, calmQueue: {Concurrency: 4}, lateQueue: {Concurrency: 2}},
		Lease:           h.Lease,
		ShutdownTimeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	for _, queue := range []string{busyQueue, calmQueue, lateQueue} {
		h.handle(queue, jobPlain, func(context.Context, *penstock.Job[data]) error { return nil })
		h.handle(queue, jobResult, func(ctx context.Context, job *penstock.Job[data]) error {
			return penstock.Result(ctx, map[string]int{"attempt": job.Attempt})
		})
		h.handle(queue, jobFlaky, func(_ context.Context, job *penstock.Job[data]) error {
			if job.Failures < job.Data.Fails {
				return errFlaky
			}
			return nil
		})
		h.handle(queue, jobSnooze, func(_ context.Context, job *penstock.Job[data]) error {
			if job.Attempt == 1 {
				return penstock.Snooze(10 * time.Millisecond)
			}
			return nil
		})
		h.handle(queue, jobHopeless, func(context.Context, *penstock.Job[data]) error { return penstock.Dead(errHopeless) })
		penstock.Handle(h.worker, queue, jobPoison, h.poison)
		penstock.Handle(h.worker, queue, jobEffect, h.effect)
	}
	return h.worker.Run(ctx)
}

// handle writes down that the attempt began, and what it is about to say.
func (h *hand) handle(queue, name string, fn func(context.Context, *penstock.Job[data]) error) {
	penstock.Handle(h.worker, queue, name, func(ctx context.Context, job *penstock.Job[data]) error {
		h.began(job)
		h.labour(ctx, job)
		err := fn(ctx, job)
		switch {
		case err == nil:
			h.says(job, "completed", "")
		case errors.Is(err, errFlaky):
			h.says(job, "failed", "")
		case errors.Is(err, errHopeless):
			h.says(job, "dead", "")
		default:
			h.says(job, "snoozed", "")
		}
		return err
	})
}

func (h *hand) labour(ctx context.Context, job *penstock.Job[data]) {
	if job.Data.MS == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(job.Data.MS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done(): // and yet it says that it completed: nobody must believe it
	}
}

// poison completes with what Postgres cannot store, in a group commit that it shares;
// that attempt becomes a failure, and the next completes.
func (h *hand) poison(ctx context.Context, job *penstock.Job[data]) error {
	h.began(job)
	if job.Failures > 0 {
		h.says(job, "completed", "")
		return nil
	}
	h.says(job, "failed", "")
	return penstock.Result(ctx, json.RawMessage(`{"n":1e200000}`))
}

func (h *hand) effect(ctx context.Context, job *penstock.Job[data]) error {
	h.began(job)
	h.labour(ctx, job)
	// Without the lease's context: a handler that does not listen must be refused.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO proof.effects (job_id, attempt) VALUES ($1, $2)", job.ID, job.Attempt); err != nil {
			return err
		}
		h.says(job, "completed", effectText)
		return job.CompleteTx(ctx, tx)
	})
	if err != nil {
		h.says(job, "failed", "")
	}
	return err
}

func (h *hand) began(job *penstock.Job[data]) {
	h.history.write(Event{Op: OpRun, Kind: Invoke, Job: job.ID, Attempt: int32(job.Attempt), Worker: h.worker.ID()})
}

func (h *hand) says(job *penstock.Job[data], outcome, text string) {
	h.history.write(Event{
		Op: OpEnd, Kind: Invoke, Job: job.ID, Attempt: int32(job.Attempt), Worker: h.worker.ID(), Outcome: outcome, Text: text,
	})
}

func (h *hand) told(e penstock.EndEvent) {
	kind := OK
	if e.LeaseLost {
		kind = Fail
	}
	h.history.write(Event{Op: OpEnd, Kind: kind, Job: e.JobID, Attempt: int32(e.Attempt), Worker: h.worker.ID(), Outcome: e.Outcome})
}
