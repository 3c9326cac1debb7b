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

// Job is one attempt of a job, as its handler gets it, with its data decoded into T.
type Job[T any] struct {
	ID           int64
	Queue, Name  string
	Data         T
	Tags         []string
	Priority     int
	Attempt      int // 1, 2, 3 …: every claim counts
	Failures     int // earlier attempts that the handler failed
	Crashes      int // earlier attempts lost with their worker
	RunAt        time.Time
	EnqueuedAt   time.Time
	Timeout      time.Duration
	OriginID     int64 // the dead job this one redrives; 0: none
	Generation   int   // how often it was redriven before
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

// HandleOption changes how the jobs of one handler are treated.
type HandleOption func(*handler)

// CustomRetry sets a function that returns the delay before the next run, after failure
// number failures (1, 2, 3 …) with err. It replaces the strategy of the retry policy; a
// negative delay leaves the decision to the policy. Max attempts and error classes remain
// those of the policy. A policy with strategy custom needs this option.
func CustomRetry(delay func(failures int, err error) time.Duration) HandleOption {
	return func(h *handler) { h.retry = delay }
}

// AnyName registers a handler for every job name that has no handler of its own.
const AnyName = "*"

// Handle registers fn for the jobs of one queue and name. A job whose data does not decode
// into T moves to the dead letter queue. Handle panics, as http.Handle does, when the
// worker does not serve the queue or the name has a handler already.
// REQUIRES: Run was not called yet.
//
// The result of fn decides: nil completes the job; Dead, Snooze and RetryIn do as their
// names say; any other error is retried by the policy. The context of fn ends at the job's
// timeout, when the job is cancelled, when the lease is lost and at shutdown.
// context.Cause returns which: ErrTimeout, ErrCancelled, ErrLeaseLost or ErrShutdown.
func Handle[T any](w *Worker, queue, name string, fn func(ctx context.Context, job *Job[T]) error, opts ...HandleOption) {
	q, ok := w.queues[queue]
	if !ok {
		panic(fmt.Sprintf("penstock: Handle(%q, %q): the worker does not serve this queue", queue, name))
	}
	if fn == nil {
		panic(fmt.Sprintf("penstock: Handle(%q, %q): the handler is nil", queue, name))
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

// decoding decodes the job's data and calls fn.
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

// CompleteTx completes the attempt inside the handler's own transaction: the effects and
// the completion commit together or not at all (P6). The handler then commits and returns
// nil. If it does not commit, the attempt counts as failed.
// Errors: ErrLeaseLost; ErrAlreadyCompleted when the transaction repeats one whose commit
// was not answered. After both it can only be rolled back.
func (j *Job[T]) CompleteTx(ctx context.Context, tx pgx.Tx) error {
	if j.held == nil {
		return errors.New("penstock: CompleteTx needs the job a handler was given")
	}
	j.held.inTx.Store(true)
	if j.held.trial() {
		return nil
	}
	err := db.New(tx).Complete(ctx, db.CompleteParams{
		Queue: j.Queue, JobID: j.ID, Attempt: int32(j.Attempt), Result: j.held.result, ClaimedAt: j.held.lease.ClaimedAt,
	})
	return translate("complete job", err)
}

// Result stores v, as JSON of at most 1 MiB, as the result of the attempt if that
// completes. ctx is the handler's. Call it before CompleteTx. Errors: *ArgumentError.
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

// Progress records how far the attempt is, 0–100 percent, with a note of up to 256
// characters. Both are shown with the running job and kept with the attempt. ctx is the
// handler's. Errors: ErrLeaseLost, *ArgumentError.
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

// DataError: the job's data does not decode into its handler's type. A retry cannot help.
type DataError struct{ err error }

func (e *DataError) Error() string { return "decode data: " + e.err.Error() }
func (e *DataError) Unwrap() error { return e.err }

// ErrorClass is what the attempt is recorded under, whatever the decoder calls it.
func (e *DataError) ErrorClass() string { return "DataError" }

type deadError struct{ err error }

func (e *deadError) Error() string { return e.err.Error() }
func (e *deadError) Unwrap() error { return e.err }

// Dead makes err final: the job moves to the dead letter queue without further retries.
func Dead(err error) error { return &deadError{orUnspecified(err)} }

type snoozeError struct{ delay time.Duration }

func (e *snoozeError) Error() string { return fmt.Sprintf("snooze for %v", e.delay) }

// Snooze makes the job wait for d, 0 to 366 days, and run again. It does not count as a
// failure.
func Snooze(d time.Duration) error { return &snoozeError{max(d, 0)} }

type retryInError struct {
	delay time.Duration
	err   error
}

func (e *retryInError) Error() string { return e.err.Error() }
func (e *retryInError) Unwrap() error { return e.err }

// Snoozed reports whether a handler's err is a Snooze, and for how long. Middleware needs
// it, because a snooze is no failure.
func Snoozed(err error) (time.Duration, bool) {
	if snooze, ok := errors.AsType[*snoozeError](err); ok {
		return snooze.delay, true
	}
	return 0, false
}

// RetryIn returns err with a delay of 0 to 366 days that replaces the retry policy's. It
// counts against max attempts.
func RetryIn(d time.Duration, err error) error { return &retryInError{max(d, 0), orUnspecified(err)} }

// unspecifiedError stands for the nil that Dead or RetryIn was given.
type unspecifiedError struct{}

func (unspecifiedError) Error() string      { return "no error was given" }
func (unspecifiedError) ErrorClass() string { return "Unspecified" }

func orUnspecified(err error) error {
	if err == nil {
		return unspecifiedError{}
	}
	return err
}

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
