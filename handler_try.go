package penstock

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/penstock/penstock/db"
)

// Try runs fn once on job, with neither worker nor database, and returns how the attempt
// would have ended in a worker. Package penstocktest builds on it. Data travels as
// JSON on its way to fn, Timeout 0 is the worker's 5 minutes, and the rest of job is
// taken as it is. Only a database knows State, RunAt and the delay of
// a policy, so those are empty.
//
// Result works as in a worker, Progress is only checked, and CompleteTx does not use the
// transaction: whether it commits (P6) is not seen here. fn runs on the caller's
// goroutine; a panic becomes a failure of class Panic, as in a worker.
// Errors: *ArgumentError when Data cannot be enqueued.
func Try[T any](ctx context.Context, fn func(ctx context.Context, job *Job[T]) error, job Job[T], opts ...HandleOption) (EndEvent, error) {
	var given any = job.Data
	if raw, isRaw := given.(json.RawMessage); isRaw && raw == nil {
		given = nil // the zero Job: {}, as if nothing had been given to Enqueue
	}
	data, err := encodeData(given)
	if err != nil {
		return EndEvent{}, fmt.Errorf("try handler: %w", err)
	}
	if job.Timeout == 0 {
		job.Timeout = defaultTimeout
	}
	x := newExecution(ctx, db.Lease{
		JobID: job.ID, Queue: job.Queue, Name: job.Name, Attempt: int32(job.Attempt), Failures: int32(job.Failures),
		Crashes: int16(job.Crashes), Priority: int16(job.Priority), RunAt: job.RunAt, Timeout: job.Timeout,
		EnqueuedAt: job.EnqueuedAt, Data: data, Tags: job.Tags, OriginID: &job.OriginID,
		Generation: int16(job.Generation), TraceContext: &job.TraceContext,
	}, nil)
	h := &handler{run: decoding(fn)}
	for _, opt := range opts {
		opt(h)
	}
	var event EndEvent
	x.attempt(h, func(e ending) { event = e.event() })
	return event, nil
}

// trial reports whether there is no database behind the attempt.
func (x *execution) trial() bool { return x.queries == nil }

// checkPercent is what penstock.progress checks in a database.
func checkPercent(percent int) error {
	if percent < 0 || percent > 100 {
		return fmt.Errorf("note progress: %w", refuse("percent", "0 to 100", percent))
	}
	return nil
}
