package penstock

import (
	"encoding/json"
	"time"
)

// Hooks observe. Each is called after the fact, on the goroutine that did the
// work, so a slow hook slows that: count, record, hand over. Nil hooks cost nothing.
// Two ends of one job may be told out of order; the attempt's number tells which
// came first.
//
//	event    when                                    from
//	Claimed  a claim returned (also with none)       a queue's fetcher
//	Started  a handler is about to run               the handler's goroutine
//	Ended    an attempt's end is recorded            the flusher
//	Flushed  a batch of ends was written             the flusher
//	Buried   a dead worker's attempts ended as lost  the sweeper
type Hooks struct {
	Claimed func(ClaimEvent)
	Started func(StartEvent)
	Ended   func(EndEvent)
	Flushed func(FlushEvent)
	Buried  func(BuryEvent)
}

// ClaimEvent is one claim: how many were asked for and came, and how long it took.
type ClaimEvent struct {
	Queue       string
	Asked, Jobs int
	Took        time.Duration
	Err         error
}

// StartEvent is a handler about to run.
type StartEvent struct {
	Queue, Name string
	JobID       int64
	Attempt     int
	Wait        time.Duration // from run_at to the claim, by the database's clock
}

// EndEvent is an attempt whose end Postgres has answered. Outcome is what the
// handler said: completed, failed, dead, snoozed, released, cancelled. State is
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
	LeaseLost      bool
}

// FlushEvent is one group commit of ends.
type FlushEvent struct {
	Ends int
	Took time.Duration
	Err  error
}

// BuryEvent is a worker found dead.
type BuryEvent struct {
	WorkerID int64
	Lost     int
}

func (h Hooks) filled() Hooks {
	if h.Claimed == nil {
		h.Claimed = func(ClaimEvent) {}
	}
	if h.Started == nil {
		h.Started = func(StartEvent) {}
	}
	if h.Ended == nil {
		h.Ended = func(EndEvent) {}
	}
	if h.Flushed == nil {
		h.Flushed = func(FlushEvent) {}
	}
	if h.Buried == nil {
		h.Buried = func(BuryEvent) {}
	}
	return h
}
