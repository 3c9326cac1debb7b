package proof

import "time"

// Op is what a process does.
type Op string

// The operations of a history. A process writes an Invoke before it acts, and the
// answer afterwards. After a kill an operation without an answer may or may not have
// happened.
const (
	OpEnqueue Op = "enqueue" // jobs N to N+Count-1; its ok brings their ids
	OpRun     Op = "run"     // a handler was called (invoke only)
	OpEnd     Op = "end"     // the attempt ends with Outcome; Fail means: lease lost
)

// Kind says how far an operation is.
type Kind string

// The kinds: requested, done, certainly not done, perhaps done.
const (
	Invoke  Kind = "invoke"
	OK      Kind = "ok"
	Fail    Kind = "fail"
	Unknown Kind = "unknown"
)

// Event is one line of a process's history.
type Event struct {
	At      time.Time `json:"at"`
	Process int       `json:"process"`
	Op      Op        `json:"op"`
	Kind    Kind      `json:"kind"`

	// Of an enqueue, a run and an end.
	N int64 `json:"n,omitempty"` // the first job's number, unique in a run; it is in the job's data

	// Of an enqueue.
	Count int     `json:"count,omitempty"`
	IDs   []int64 `json:"ids,omitempty"`
	Text  string  `json:"text,omitempty"` // why it failed

	// Of a run and an end.
	Job     int64  `json:"job,omitempty"`
	Attempt int32  `json:"attempt,omitempty"`
	Worker  int64  `json:"worker,omitempty"` // 0: unknown
	Outcome string `json:"outcome,omitempty"`
}

// What is a change of a job by a committed transaction.
type What string

// The steps of a job as the audit's triggers see them (audit.sql).
const (
	Enqueued  What = "enqueued"  // a row in jobs
	Waits     What = "waits"     // into pending
	Taken     What = "taken"     // out of pending
	Leased    What = "leased"    // into running
	Unleased  What = "unleased"  // out of running
	Noted     What = "noted"     // into attempts: the end of an attempt
	Died      What = "died"      // into dead_jobs
	Left      What = "left"      // out of dead_jobs
	Departed  What = "departed"  // into departures
	Forgotten What = "forgotten" // out of attempts or departures: never allowed
)

// Step is one row of the audit's trail: a committed change.
type Step struct {
	Seq       int64 // orders the steps of one job: row locks serialize them
	Tx        int64
	At        time.Time // the database's clock when the row changed
	Began     time.Time // its transaction's now()
	Committed time.Time
	What      What
	Job       int64
	N         int64 // of an enqueued job; 0 when its data has none
	Origin    int64 // of a redriven job
	Attempt   int32
	Worker    int64
	Priority  int16
	RunAt     time.Time
	Queue     string
	Outcome   string    // of noted; how of departed
	Deadline  time.Time // of leased
	Overdue   bool      // of noted: maintenance ended it at its deadline
}

// Effect is a row that a handler wrote in the transaction of its completion.
type Effect struct {
	Job     int64
	Attempt int32
}

// Incarnation is a worker's life in the registry.
type Incarnation struct {
	ID         int64
	Process    int
	Registered time.Time
	Ended      time.Time // zero: still registered
	Buried     bool      // ended by a burial
	Beats      int64     // 0: never used, for instance because the reply to the registration was lost
}

// Fault is what a nemesis did, from Start to Heal.
type Fault struct {
	Nemesis   string
	From      time.Time
	To        time.Time
	Process   int    // the affected process; 0: all
	Kills     bool   // the process has ended
	Mute      bool   // the processes may have been unable to beat
	Breaks    bool   // some of the process's connections broke: its sweeper may wait longer
	Down      bool   // Postgres accepted no connections
	HidesRows bool   // rows were locked, so claims passed over them
	MustFlow  string // a queue whose claims must go on during the fault
	MustEnd   string // a queue whose attempts must go on ending at their pace during the fault
	Drained   bool   // the killed process had been ordered to drain
	Note      string
}

// Span is the lifetime of a process that sweeps: a worker or a server.
type Span struct {
	Process  int
	From, To time.Time
}

func (f Fault) hits(process int) bool { return f.Process == 0 || f.Process == process }

func (f Fault) overlaps(from, to time.Time) bool { return f.From.Before(to) && from.Before(f.To) }
