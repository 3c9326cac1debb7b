package penstock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/safetext"
)

// Job is one attempt of a job in a handler's hands, its data decoded into T.
type Job[T any] struct {
	ID           int64
	Queue, Name  string
	Data         T
	Tags         []string
	Priority     int
	Attempt      int // 1, 2, 3 …: every claim counts
	Failures     int // earlier attempts that failed by the handler's fault
	Crashes      int // earlier attempts lost with their worker
	RunAt        time.Time
	EnqueuedAt   time.Time
	Timeout      time.Duration
	OriginID     int64 // the dead job this one redrives; 0: none
	Generation   int   // redrives behind it
	TraceContext string

	held *execution
}

// HandlerFunc handles an attempt whose data is still JSON.
type HandlerFunc func(ctx context.Context, job *Job[json.RawMessage]) error

// Middleware wraps every handler of a worker: the first given is the outermost.
type Middleware func(next HandlerFunc) HandlerFunc

// handler is what runs the jobs of one queue and name.
type handler struct {
	run   HandlerFunc
	retry func(failures int, err error) time.Duration // nil: the retry policy decides
}

// HandleOption changes how one handler's jobs are treated.
type HandleOption func(*handler)

// CustomRetry decides the wait before the next run of a job whose failures-th
// failure (1, 2, 3 …) was err, whatever the retry policy's strategy; negative
// leaves it to the policy. Max attempts and error classes stay the policy's. A
// policy with strategy custom needs it.
func CustomRetry(delay func(failures int, err error) time.Duration) HandleOption {
	return func(h *handler) { h.retry = delay }
}

// AnyName is the name of a handler that takes every job no other one takes.
const AnyName = "*"

// Handle registers fn for the jobs of one queue and name; data that does not
// decode into T lays the job in the DLQ. It panics, as http.Handle does, when
// the worker does not serve the queue or the name has a handler already.
// REQUIRES: Run not called yet.
//
// What fn returns decides: nil completes, Dead, Snooze and RetryIn do as they
// say, any other error is retried by policy. Its context ends at the job's
// timeout, when the job is cancelled, when the lease is lost and at shutdown;
// context.Cause tells which.
func Handle[T any](w *Worker, queue, name string, fn func(ctx context.Context, job *Job[T]) error, opts ...HandleOption) {
	q, ok := w.queues[queue]
	if !ok {
		panic(fmt.Sprintf("penstock: Handle(%q, %q): the worker does not serve this queue", queue, name))
	}
	if name != AnyName && !safetext.ValidName(name) {
		panic(fmt.Sprintf("penstock: Handle(%q, %q): a name is 1 to 128 of letters, digits and . _ - : /", queue, name))
	}
	if _, taken := q.handlers[name]; taken {
		panic(fmt.Sprintf("penstock: Handle(%q, %q): has a handler already", queue, name))
	}
	h := &handler{}
	for _, opt := range opts {
		opt(h)
	}
	h.run = w.wrap(decoding(fn))
	q.handlers[name] = h
}

// decoding is fn behind the decoding of its job's data.
func decoding[T any](fn func(ctx context.Context, job *Job[T]) error) HandlerFunc {
	return func(ctx context.Context, raw *Job[json.RawMessage]) error {
		job := Job[T]{
			raw.ID, raw.Queue, raw.Name, *new(T), raw.Tags, raw.Priority, raw.Attempt, raw.Failures, raw.Crashes,
			raw.RunAt, raw.EnqueuedAt, raw.Timeout, raw.OriginID, raw.Generation, raw.TraceContext, raw.held,
		}
		if target, isRaw := any(&job.Data).(*json.RawMessage); isRaw {
			*target = raw.Data
		} else if err := json.Unmarshal(raw.Data, &job.Data); err != nil {
			return Dead(&DataError{err})
		}
		if raw.held != nil {
			raw.held.handled = ctx
		}
		return fn(ctx, &job)
	}
}

// CompleteTx completes the attempt inside the handler's own transaction: its
// effects and the completion commit together or not at all (P6). The handler
// commits and returns nil; if it never commits, the attempt counts as failed.
// Errors: ErrLeaseLost, after which the transaction can only be rolled back; a Job that
// no worker made is refused.
func (j *Job[T]) CompleteTx(ctx context.Context, tx pgx.Tx) error {
	if j.held == nil {
		return errors.New("penstock: CompleteTx needs the job a handler was given")
	}
	j.held.inTx = true
	if j.held.trial() {
		return nil
	}
	err := db.New(tx).Complete(ctx, db.CompleteParams{
		Queue: j.Queue, JobID: j.ID, Attempt: int32(j.Attempt), Result: j.held.result,
	})
	return translate("complete job", err)
}

// Result keeps v, as JSON of at most 1 MiB, with the attempt if it completes.
// ctx is the handler's. Call it before CompleteTx.
func Result(ctx context.Context, v any) error {
	x, ok := ctx.Value(executionKey{}).(*execution)
	if !ok {
		return errors.New("penstock: Result needs the context a handler was given")
	}
	encoded, err := encodeData(v)
	if err != nil {
		return fmt.Errorf("keep result: %w", err)
	}
	x.result = encoded
	return nil
}

// Progress notes how far the attempt is, 0–100 percent, with a word about it of up
// to 256 characters; it is shown with the running job and kept with the attempt.
// ctx is the handler's. Errors: ErrLeaseLost.
func Progress(ctx context.Context, percent int, note string) error {
	x, ok := ctx.Value(executionKey{}).(*execution)
	if !ok {
		return errors.New("penstock: Progress needs the context a handler was given")
	}
	if x.trial() {
		return checkPercent(percent)
	}
	l := &x.lease
	ours, err := x.queries.NoteProgress(ctx, db.NoteProgressParams{
		Queue: l.Queue, JobID: l.JobID, Attempt: l.Attempt, Percent: int32(percent), Note: safetext.Clean(note, 1024),
	})
	if err == nil && !ours {
		return fmt.Errorf("note progress: %w", ErrLeaseLost)
	}
	return translate("note progress", err)
}

// DataError: a job's data does not decode into its handler's type. No retry mends it.
type DataError struct{ err error }

func (e *DataError) Error() string { return "decode data: " + e.err.Error() }
func (e *DataError) Unwrap() error { return e.err }

// ErrorClass is what the attempt is recorded under, whatever the decoder calls it.
func (e *DataError) ErrorClass() string { return "DataError" }

type deadError struct{ err error }

func (e *deadError) Error() string { return e.err.Error() }
func (e *deadError) Unwrap() error { return e.err }

// Dead makes err final: the job goes to the DLQ without further retries.
func Dead(err error) error { return &deadError{err} }

type snoozeError struct{ delay time.Duration }

func (e *snoozeError) Error() string { return fmt.Sprintf("snooze for %v", e.delay) }

// Snooze puts the job back for d, 0 to 366 days. It costs no failure.
func Snooze(d time.Duration) error { return &snoozeError{max(d, 0)} }

type retryInError struct {
	delay time.Duration
	err   error
}

func (e *retryInError) Error() string { return e.err.Error() }
func (e *retryInError) Unwrap() error { return e.err }

// Snoozed reports whether err, from a handler, is a Snooze, and for how long: for
// middleware, to which a snooze is no failure.
func Snoozed(err error) (time.Duration, bool) {
	if snooze, ok := errors.AsType[*snoozeError](err); ok {
		return snooze.delay, true
	}
	return 0, false
}

// RetryIn is err with a delay of its own instead of the retry policy's, 0 to 366
// days: what a custom strategy returns. It counts against max attempts.
func RetryIn(d time.Duration, err error) error { return &retryInError{max(d, 0), err} }

// panicError is a handler that panicked or called runtime.Goexit.
type panicError struct {
	message string
	stack   []byte
}

func (e *panicError) Error() string      { return e.message }
func (e *panicError) ErrorClass() string { return "Panic" }

// ErrorDetail is the stack.
func (e *panicError) ErrorDetail() string { return string(e.stack) }

// guard runs a handler and turns a panic or a runtime.Goexit into an error. In
// the latter case the goroutine is lost: after is called with the error instead.
func guard(ctx context.Context, handle HandlerFunc, job *Job[json.RawMessage], after func(error)) {
	err := error(&panicError{"runtime.Goexit was called", nil})
	returned := false
	defer func() {
		if r := recover(); r != nil {
			err = &panicError{fmt.Sprintf("panic: %v", r), debug.Stack()}
		} else if !returned {
			err.(*panicError).stack = debug.Stack()
		}
		after(err)
	}()
	err = handle(ctx, job)
	returned = true
}
