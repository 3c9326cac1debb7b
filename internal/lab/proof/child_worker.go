package proof

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
)

// data is the data of every job.
type data struct {
	N     int64 `json:"n"`
	Fails int   `json:"fails,omitempty"` // flaky: how many attempts fail
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

// childWorker is a worker process.
type childWorker struct {
	childConfig
	history *recorder
	pool    *pgxpool.Pool
	worker  *penstock.Worker
}

func (h *childWorker) work(ctx context.Context, log *slog.Logger) error {
	client, err := penstock.NewClient(h.pool, penstock.Config{Logger: log, Hooks: penstock.Hooks{Ended: h.recordAnswer}})
	if err != nil {
		return err
	}
	queues := map[string]penstock.QueueConfig{busyQueue: {Concurrency: 32}, calmQueue: {Concurrency: 4}, lateQueue: {Concurrency: 2}}
	if h.More {
		queues[burstQueue], queues[wideQueue] = penstock.QueueConfig{Concurrency: 4}, penstock.QueueConfig{Concurrency: 400}
	}
	h.worker, err = penstock.NewWorker(client, penstock.WorkerConfig{
		Queues:          queues,
		Lease:           h.Lease,
		ShutdownTimeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	for queue := range queues {
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
		penstock.Handle(h.worker, queue, jobRepeat, h.repeat)
		penstock.Handle(h.worker, queue, jobLeak, h.leak)
		penstock.Handle(h.worker, queue, jobStuck, h.stick)
	}
	return h.worker.Run(ctx)
}

// handle registers a handler that records its start, and its outcome before it returns.
func (h *childWorker) handle(queue, name string, fn func(context.Context, *penstock.Job[data]) error) {
	penstock.Handle(h.worker, queue, name, func(ctx context.Context, job *penstock.Job[data]) error {
		h.recordStart(job)
		h.simulateWork(ctx, job)
		err := fn(ctx, job)
		switch {
		case err == nil:
			h.recordIntent(job, "completed", "")
		case errors.Is(err, errFlaky):
			h.recordIntent(job, "failed", "")
		case errors.Is(err, errHopeless):
			h.recordIntent(job, "dead", "")
		default:
			h.recordIntent(job, "snoozed", "")
		}
		return err
	})
}

func (h *childWorker) simulateWork(ctx context.Context, job *penstock.Job[data]) {
	if job.Data.MS == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(job.Data.MS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done(): // it still reports completed; the database must refuse that
	}
}

// poison completes with a result that Postgres cannot store, in a group commit shared
// with others. That attempt becomes a failure; the next completes.
func (h *childWorker) poison(ctx context.Context, job *penstock.Job[data]) error {
	h.recordStart(job)
	if job.Failures > 0 {
		h.recordIntent(job, "completed", "")
		return nil
	}
	h.recordIntent(job, "failed", "")
	return penstock.Result(ctx, json.RawMessage(`{"n":1e200000}`))
}

func (h *childWorker) effect(ctx context.Context, job *penstock.Job[data]) error {
	h.recordStart(job)
	h.simulateWork(ctx, job)
	// Not the lease's context: a handler that ignores cancellation must be refused as
	// well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO proof.effects (job_id, attempt) VALUES ($1, $2)", job.ID, job.Attempt); err != nil {
			return err
		}
		h.recordIntent(job, "completed", effectText)
		return job.CompleteTx(ctx, tx)
	})
	if err != nil {
		h.recordIntent(job, "failed", "")
	}
	return err
}

func (h *childWorker) recordStart(job *penstock.Job[data]) {
	h.history.write(Event{Op: OpRun, Kind: Invoke, N: job.Data.N, Job: job.ID, Attempt: int32(job.Attempt), Worker: h.worker.ID()})
}

func (h *childWorker) recordIntent(job *penstock.Job[data], outcome, text string) {
	h.history.write(Event{
		Op: OpEnd, Kind: Invoke, N: job.Data.N, Job: job.ID, Attempt: int32(job.Attempt), Worker: h.worker.ID(), Outcome: outcome, Text: text,
	})
}

func (h *childWorker) recordAnswer(e penstock.EndEvent) {
	kind := OK
	if e.LeaseLost {
		kind = Fail
	}
	h.history.write(Event{Op: OpEnd, Kind: kind, Job: e.JobID, Attempt: int32(e.Attempt), Worker: h.worker.ID(), Outcome: e.Outcome})
}
