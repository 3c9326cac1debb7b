package proof

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Limits are what the timed promises allow.
type Limits struct {
	Lease      time.Duration // of the workers
	Rescue     time.Duration // P9: from a worker's death to its jobs' return, while somebody watches
	FirstClaim time.Duration // from the moment Postgres takes connections
	PassedOver time.Duration // P10: how long claims may pass over a job that should go first
}

// limitsFor are the promised ones; a shorter lease shortens the rescue alike.
func limitsFor(lease time.Duration) Limits {
	return Limits{Lease: lease, Rescue: lease + 5*time.Second, FirstClaim: 5 * time.Second, PassedOver: 6 * time.Second}
}

// Violation is a promise that was broken, with the counter-example.
type Violation struct {
	Promise string // P1 … P13
	Kind    string // lost, doubled, …
	Text    string
	Story   []string // what happened, in the order of the clock
}

// Verdict is what the judge found.
type Verdict struct {
	Violations map[string]int // how many, by kind
	Examples   []Violation    // the first few of each kind

	Jobs, Attempts, Completed, Dead, Redriven, Purged int
	Lost                                              int // attempts that ended with their worker
	Overdue                                           int // attempts that ended by their deadline
	Unknown, UnknownKept                              int // enqueues without an answer, and those that exist
	Refused                                           int // enqueues that were refused or rolled back
	Effects                                           int
	Rescues, FirstClaims                              []time.Duration // sorted
}

// Broken is how many violations there are.
func (v *Verdict) Broken() (n int) {
	for _, k := range v.Violations {
		n += k
	}
	return n
}

// examples of each kind that are kept with their story.
const examples = 3

// judge decides the promises from what processes wrote down and what the database
// committed. REQUIRES: hear every event, then know the faults and incarnations, then
// see every job in order of its id, then conclude.
type judge struct {
	limits  Limits
	verdict Verdict

	asked   map[int64]*asked // by the job's number
	notes   []note           // of handlers, sorted by job once hearing is over
	place   int              // how many notes belong to jobs already seen
	lastRun map[int]time.Time

	faults []Fault
	lives  map[int64]Incarnation
	killed map[int]time.Time // when a process was
	heals  []time.Time       // when Postgres took connections again, sorted
	watch  []Span            // when a sweeper watched without interruption, in order
	firsts []time.Time       // the first lease after each of heals; zero: none
	flows  []flow
	order  order

	twoClocks bool // the database's and the processes' are not to be compared

	drained bool // nothing may be left to do
	healed  time.Time
	living  []int // worker processes that must have worked after healed
}

// asked is an enqueue of one job as its caller knows it.
type asked struct {
	kind Kind
	id   int64 // told
	job  int64 // seen
}

// note is a handler's event, kept small: there are millions.
type note struct {
	job     int64
	worker  int64
	at      time.Time
	process int32
	attempt int32
	op      Op
	kind    Kind
	outcome string
	effect  bool // it completes in its own transaction
}

func newJudge(limits Limits) *judge {
	return &judge{
		limits: limits, verdict: Verdict{Violations: map[string]int{}}, asked: map[int64]*asked{},
		lastRun: map[int]time.Time{}, lives: map[int64]Incarnation{}, killed: map[int]time.Time{},
		order: order{queues: map[string]*queueOrder{}},
	}
}

// hear takes an event of a process.
func (j *judge) hear(e Event) {
	switch e.Op {
	case OpEnqueue:
		j.hearEnqueue(e)
	case OpRun, OpEnd:
		j.notes = append(j.notes, note{
			e.Job, e.Worker, e.At.Truncate(time.Microsecond), int32(e.Process), e.Attempt, e.Op, e.Kind,
			e.Outcome, e.Text == effectText,
		})
		if e.Op == OpRun && e.At.After(j.lastRun[e.Process]) {
			j.lastRun[e.Process] = e.At
		}
	}
}

// know takes what is known beside the histories; hearing is over.
func (j *judge) know(faults []Fault, incarnations []Incarnation, sweepers []Span) {
	j.faults = faults
	j.watch = watches(sweepers, faults)
	for _, i := range incarnations {
		j.lives[i.ID] = i
	}
	for _, f := range faults {
		if f.Kills {
			j.killed[f.Process] = f.From
		}
		if f.Down {
			j.heals = append(j.heals, f.To)
		}
		if f.Flows != "" {
			j.flows = append(j.flows, flow{Fault: f, last: f.From})
		}
	}
	slices.SortFunc(j.heals, time.Time.Compare)
	j.firsts = make([]time.Time, len(j.heals))
	slices.SortStableFunc(j.notes, func(a, b note) int { return cmp.Or(cmp.Compare(a.job, b.job), a.at.Compare(b.at)) })
}

// see judges one job by its steps, which are all of one id and in order, and its
// effects.
func (j *judge) see(steps []Step, effects []Effect) {
	job := steps[0].Job
	for j.place < len(j.notes) && j.notes[j.place].job < job {
		j.stray(j.notes[j.place])
		j.place++
	}
	first := j.place
	for j.place < len(j.notes) && j.notes[j.place].job == job {
		j.place++
	}
	f := file{judge: j, job: job, steps: steps, notes: j.notes[first:j.place], effects: effects}
	f.replay()
	f.matchWords()
	f.matchEffects()
	f.timing()
	j.seen(&f)
}

// stray is about a job that no committed transaction enqueued.
func (j *judge) stray(n note) {
	j.broken(Violation{
		Promise: "P2", Kind: "unexpected",
		Text: fmt.Sprintf("a handler was given job %d, which no committed transaction enqueued", n.job),
	})
}

// conclude returns the verdict.
func (j *judge) conclude() *Verdict {
	for ; j.place < len(j.notes); j.place++ {
		j.stray(j.notes[j.place])
	}
	j.concludeEnqueues()
	j.concludeOrder()
	j.concludeRecovery()
	slices.Sort(j.verdict.Rescues)
	slices.Sort(j.verdict.FirstClaims)
	return &j.verdict
}

func (j *judge) broken(v Violation) {
	j.verdict.Violations[v.Kind]++
	if j.verdict.Violations[v.Kind] <= examples {
		j.verdict.Examples = append(j.verdict.Examples, v)
	}
}
