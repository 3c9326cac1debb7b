package penstock

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
)

// Hooks observe a client and its workers. Each is called after the event, on the goroutine
// that did the work, and a slow hook slows that work: count, record, or hand over. Nil
// hooks cost nothing. The ends of two attempts of one job may come out of order; the
// attempt's number is the order.
//
//	event      when                                    from
//	Enqueued   a statement of enqueues was answered    the caller's goroutine, or its group's
//	Claimed    a claim returned (also with none)       a queue's fetcher
//	Started    a handler is about to run               the handler's goroutine
//	Ended      an attempt's end is recorded            the flusher
//	Flushed    a batch of ends was written             the flusher
//	Woken      a fetcher's rest between claims ended   a queue's fetcher
//	Notified   a notification came                     the listener
//	Listening  the connection for them came or went    the listener
//	Beaten     a heartbeat was answered                the leaseholder
//	Buried     a dead worker's attempts ended as lost  the sweeper
type Hooks struct {
	Enqueued  func(EnqueueEvent)
	Claimed   func(ClaimEvent)
	Started   func(StartEvent)
	Ended     func(EndEvent)
	Flushed   func(FlushEvent)
	Woken     func(WakeEvent)
	Notified  func(NotifyEvent)
	Listening func(ListenEvent)
	Beaten    func(BeatEvent)
	Buried    func(BuryEvent)
}

// EnqueueEvent is one queue's part of a statement of enqueues: those of a group
// commit, of an EnqueueMany, or inside a caller's transaction, which may yet be
// rolled back. Jobs counts what was asked for, repeats of idempotency keys too.
type EnqueueEvent struct {
	Queue string
	Jobs  int
	Took  time.Duration // of the whole statement
	InTx  bool
	Err   error // nothing of the statement was kept, or that is not known
}

// ClaimEvent is one claim: how many were asked for and came, and how long it took.
type ClaimEvent struct {
	Queue         string
	Asked, Jobs   int
	Took          time.Duration
	Err           error
	TraceContexts []string // of the claimed jobs that have one
}

// StartEvent is a handler about to run.
type StartEvent struct {
	Queue, Name string
	JobID       int64
	Attempt     int
	Wait        time.Duration // from run_at to the claim, by the database's clock
}

// EndEvent is an attempt whose end Postgres has answered. Outcome is the handler's
// result: completed, failed, dead, snoozed, released, cancelled. State is
// what became of the job: completed, retrying, waiting, dead, cancelled; empty
// when LeaseLost, in which case nothing changed.
type EndEvent struct {
	Queue, Name    string
	JobID          int64
	Attempt        int
	Outcome, State string
	ErrorClass     string
	Err            error           // what the handler returned, nil included, or its panic
	Message        string          // the error as it is recorded
	Result         json.RawMessage // what Result kept, if it completed
	Delay          time.Duration   // asked for by Snooze, RetryIn or CustomRetry; 0: none, or the policy's
	RunAt          time.Time       // when it runs next, by the database's clock; zero: never
	Ran            time.Duration
	EndedAt        time.Time // when the handler returned, by this process's clock; zero: none ran
	LeaseLost      bool

	// Context is the one the handler was given, with what middleware put into it: for
	// its values, as it is over by now. Nil when no handler of this process ran.
	Context context.Context
}

// FlushEvent is one group commit of ends.
type FlushEvent struct {
	Ends int
	Took time.Duration
	Err  error
}

// WakeEvent is the end of a rest between claims. A fetcher that rests in a busy
// queue polls every few milliseconds; one that sleeps polls once a second.
type WakeEvent struct {
	Queue  string
	By     WakeReason
	Rested time.Duration
}

// WakeReason is why a fetcher's rest ended.
type WakeReason string

// The reasons for which a rest ends.
const (
	WokenByNotification WakeReason = "notification" // of Postgres
	WokenByEnqueue      WakeReason = "enqueue"      // in this process
	WokenByRoom         WakeReason = "room"         // a handler became free
	WokenByPoll         WakeReason = "poll"         // its time was over
)

// NotifyEvent is a notification that arrived, whether or not anyone slept.
type NotifyEvent struct {
	Queue string
}

// ListenEvent is the connection for notifications: up once it listens, and down
// with the error that ended it or kept it from coming up; none when the worker
// stops. While it is down, fetchers poll.
type ListenEvent struct {
	Up  bool
	Err error
}

// BeatEvent is a heartbeat. A worker whose heartbeats fail for the lease is declared dead.
type BeatEvent struct {
	Took time.Duration
	Gone bool // it was declared dead before this beat
	Err  error
}

// BuryEvent is a worker found dead.
type BuryEvent struct {
	WorkerID int64
	Lost     int
}

// And returns hooks that call those of h, and then those of more.
func (h Hooks) And(more Hooks) Hooks {
	return Hooks{
		Enqueued:  both(h.Enqueued, more.Enqueued),
		Claimed:   both(h.Claimed, more.Claimed),
		Started:   both(h.Started, more.Started),
		Ended:     both(h.Ended, more.Ended),
		Flushed:   both(h.Flushed, more.Flushed),
		Woken:     both(h.Woken, more.Woken),
		Notified:  both(h.Notified, more.Notified),
		Listening: both(h.Listening, more.Listening),
		Beaten:    both(h.Beaten, more.Beaten),
		Buried:    both(h.Buried, more.Buried),
	}
}

func both[E any](first, second func(E)) func(E) {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(e E) { first(e); second(e) }
}

// contained is h without nils, and with the panics of each hook logged (worker_contain.go).
func (h Hooks) contained(log *slog.Logger) Hooks {
	return Hooks{
		Enqueued:  containedHook(log, "Enqueued", h.Enqueued),
		Claimed:   containedHook(log, "Claimed", h.Claimed),
		Started:   containedHook(log, "Started", h.Started),
		Ended:     containedHook(log, "Ended", h.Ended),
		Flushed:   containedHook(log, "Flushed", h.Flushed),
		Woken:     containedHook(log, "Woken", h.Woken),
		Notified:  containedHook(log, "Notified", h.Notified),
		Listening: containedHook(log, "Listening", h.Listening),
		Beaten:    containedHook(log, "Beaten", h.Beaten),
		Buried:    containedHook(log, "Buried", h.Buried),
	}
}
