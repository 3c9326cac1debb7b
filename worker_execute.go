package penstock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/db"
)

// execution is a leased attempt in this process, from the claim until Postgres
// has answered its end.
type execution struct {
	lease   db.Lease
	ctx     attemptContext
	queries *db.Queries // the worker's, for Progress; nil in a Try
	claimed time.Time   // when the claim returned, by this process's clock; zero in a Try

	over atomic.Bool // its end was handed to the flusher

	// Guarded by the queue's mu.
	started   time.Time // when its handler's turn came; zero: not yet
	endedAt   time.Time // when its context was first seen ended with the handler still running
	stuck     bool      // and the handler did not return for stuckAfter
	givenBack int       // later attempts of the job that were given back since this one still runs

	// Written by the handler's goroutine, read after it ended.
	handled context.Context // what the handler was given, past all middleware; nil: none ran
	result  json.RawMessage
	inTx    atomic.Bool // CompleteTx was called: the end is in the handler's transaction, if that committed
}

// ending is how an attempt ended, in the words of penstock.finish.
type ending struct {
	x               *execution
	err             error // what the handler returned
	outcome         string
	classes         []string
	message, detail string
	delay           time.Duration // negative: the policy's
	ran             time.Duration
	at              time.Time // when the handler returned
	lockedTries     int       // how often its row was found locked
}

// suspect reports whether the next crash, which would be the third, moves the job to the DLQ.
func (x *execution) suspect() bool { return x.lease.Crashes >= 2 }

// newExecution makes an attempt of a lease whose handler's context ends with parent.
func newExecution(parent context.Context, lease db.Lease, queries *db.Queries) *execution {
	x := &execution{lease: lease, queries: queries}
	x.ctx.parent, x.ctx.execution = parent, x
	return x
}

// maybeLocked reports whether another transaction may hold the attempt's row.
func (e *ending) maybeLocked() bool { return e.x.inTx.Load() || e.lockedTries > 0 }

// plain reports whether the attempt completed without a result.
func (e *ending) plain() bool { return e.outcome == OutcomeCompleted && e.x.result == nil }

// How an attempt ends, as its worker sees it.
const (
	OutcomeCompleted = "completed"
	OutcomeFailed    = "failed"
	OutcomeDead      = "dead"
	OutcomeSnoozed   = "snoozed"
	OutcomeReleased  = "released"
	OutcomeCancelled = "cancelled"
)

// run executes one attempt and hands its end to after, also when the handler
// panics or calls runtime.Goexit.
func (q *servedQueue) run(x *execution, after func(ending)) {
	if cause := x.ctx.ended(); cause != nil { // while it waited: the lease was lost, or a cancel came
		after(x.judge(cause))
		return
	}
	if time.Since(x.claimed) > startWithin {
		after(ending{x: x, outcome: OutcomeReleased, message: "not started: the process stood still since the claim"})
		return
	}
	h := q.handler(x.lease.Name)
	if h == nil {
		q.worker.logger().Warn("no handler for this job name; the job waits for a worker that has one", "step", "execute",
			"queue", q.name, "name", x.lease.Name, "job_id", x.lease.JobID, "attempt", x.lease.Attempt)
		after(ending{x: x, outcome: OutcomeReleased, delay: unknownNameDelay(int(x.lease.Attempt))})
		return
	}
	q.worker.hooks.Started(StartEvent{
		q.name, x.lease.Name, x.lease.JobID, int(x.lease.Attempt), x.lease.ClaimedAt.Sub(x.lease.RunAt),
	})
	if x.suspect() {
		q.worker.suspects.run(x, after, func() { x.attempt(h, after) })
		return
	}
	x.attempt(h, after)
}

// startWithin is how old a claim may be when its job starts. A process that stood still may
// have lost the lease without knowing (P4).
const startWithin = 2 * time.Second

// attempt runs h within the job's timeout and hands its end to after.
func (x *execution) attempt(h *handler, after func(ending)) {
	started := time.Now()
	x.ctx.start(started, x.lease.Timeout)
	guard(&x.ctx, h.run, x.job(), func(err error) {
		e := x.judgeSafely(err)
		e.at = time.Now()
		e.ran = e.at.Sub(started)
		if err != nil && e.outcome == OutcomeFailed && e.delay < 0 && h.retry != nil {
			x.askRetry(h, &e)
		}
		x.ctx.end(context.Canceled)
		after(e)
	})
}

// event is the end as hooks and callers get it, before Postgres has answered.
func (e *ending) event() EndEvent {
	l := &e.x.lease
	event := EndEvent{
		Queue: l.Queue, Name: l.Name, JobID: l.JobID, Attempt: int(l.Attempt), Outcome: e.outcome,
		Err: e.err, Message: e.message, Delay: max(e.delay, 0), Ran: e.ran,
		EndedAt: e.at, Context: e.x.handled,
	}
	if len(e.classes) > 0 {
		event.ErrorClass = e.classes[0]
	}
	if e.outcome == OutcomeCompleted {
		event.Result = e.x.result
	}
	return event
}

// handler is what runs a name's jobs: its own, else the one for any name, else nil.
func (q *servedQueue) handler(name string) *handler {
	if h, ok := q.handlers[name]; ok {
		return h
	}
	return q.handlers[AnyName]
}

func (x *execution) job() *Job[json.RawMessage] {
	l := &x.lease
	return &Job[json.RawMessage]{
		l.JobID, l.Queue, l.Name, l.Data, l.Tags, int(l.Priority), int(l.Attempt), int(l.Failures), int(l.Crashes),
		l.RunAt.UTC(), l.EnqueuedAt.UTC(), l.Timeout, value(l.OriginID), int(l.Generation), value(l.TraceContext), x,
	}
}

// judgeSafely is judge, where reading err may panic: it is the application's, and may be a
// nil pointer that its methods do not expect. Such an attempt failed (class Panic).
func (x *execution) judgeSafely(err error) (e ending) {
	panicked := contain(func() { e = x.judge(err) })
	if panicked == nil {
		return e
	}
	panicked.message = fmt.Sprintf("the handler returned an error of type %T that cannot be read: %s", err, panicked.message)
	e = x.judge(panicked)
	return e
}

// askRetry asks the handler's own function for the delay. A panic of it leaves the delay to
// the policy and is recorded with the attempt's error.
func (x *execution) askRetry(h *handler, e *ending) {
	if panicked := contain(func() { e.delay = h.retry(int(x.lease.Failures)+1, e.err) }); panicked != nil {
		e.delay = -1
		e.message += " (CustomRetry: " + panicked.message + ")"
		if e.detail == "" {
			e.detail = string(panicked.stack)
		}
	}
}

// judge decides how the attempt ended, by the handler's result and the cause of its
// context's end.
func (x *execution) judge(err error) ending {
	e := ending{x: x, err: err, outcome: OutcomeFailed, delay: -1}
	if err == nil {
		if !x.inTx.Load() || x.trial() {
			e.outcome = OutcomeCompleted
			return e
		}
		// If the transaction committed, the attempt has ended and this changes nothing.
		e.classes, e.message = []string{"CompletionNotCommitted"}, "CompleteTx was called, but its transaction did not commit"
		return e
	}
	e.message, e.classes = err.Error(), classes(err)
	var dead *deadError
	var snooze *snoozeError
	var retryIn *retryInError
	var panicked *panicError
	cause := x.ctx.ended()
	switch {
	case errors.As(err, &snooze):
		e.outcome, e.delay, e.message, e.classes = OutcomeSnoozed, snooze.delay, "", nil
	case errors.Is(cause, ErrCancelled):
		e.outcome, e.classes = OutcomeCancelled, nil
	case errors.As(err, &dead):
		e.outcome = OutcomeDead
	case errors.As(err, &panicked): // a failure, whatever ended its context
	case errors.As(err, &retryIn):
		e.delay = retryIn.delay
	case errors.Is(cause, ErrShutdown), errors.Is(cause, ErrLeaseLost):
		// A lost lease is past releasing, unless the claim committed after the worker was declared dead.
		e.outcome, e.message, e.classes = OutcomeReleased, "", nil
	case errors.Is(cause, ErrTimeout):
		e.classes = []string{"Timeout"}
		e.message = fmt.Sprintf("not done within %v: %v", x.lease.Timeout, err)
	}
	var detailed interface{ ErrorDetail() string }
	if e.detail == "" && errors.As(err, &detailed) {
		e.detail = detailed.ErrorDetail()
	}
	return e
}

// unknownNameDelay is the delay of a job whose name has no handler here: 5 s, doubled with
// each attempt up to 5 min.
func unknownNameDelay(attempt int) time.Duration {
	return min(5*time.Second<<min(max(attempt-1, 0), 10), 5*time.Minute)
}
