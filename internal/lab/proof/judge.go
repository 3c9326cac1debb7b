package proof

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Limits are the times that the promises allow.
type Limits struct {
	Lease         time.Duration // of the workers
	Rescue        time.Duration // P9: from a worker's death to the return of its jobs, while a sweeper runs
	FirstClaim    time.Duration // from the moment Postgres accepts connections
	MaxPassedOver time.Duration // P10: how long claims may pass over a job that should go first
}

// limitsFor returns the promised limits. A shorter lease shortens the rescue.
func limitsFor(lease time.Duration) Limits {
	return Limits{Lease: lease, Rescue: lease + 5*time.Second, FirstClaim: 5 * time.Second, MaxPassedOver: 6 * time.Second}
}

// Violation is a broken promise with its counter-example.
type Violation struct {
	Promise  string // P1 … P13
	Kind     string // lost, doubled, …
	Text     string
	Timeline []string // events in order of time
}

// Verdict is what the judge found.
type Verdict struct {
	Violations map[string]int // how many, by kind
	Examples   []Violation    // the first few of each kind

	Jobs, Attempts, Completed, Dead, Redriven, Purged int
	Lost                                              int // attempts that ended with their worker
	Overdue                                           int // attempts that ended by their deadline
	Unknown, UnknownKept                              int // enqueues without an answer, and how many of them exist
	Refused                                           int // enqueues that were refused or rolled back
	Effects                                           int
	Rescues, FirstClaims                              []time.Duration // sorted
}

// Broken returns the number of violations.
func (v *Verdict) Broken() (n int) {
	for _, k := range v.Violations {
		n += k
	}
	return n
}

// examples is how many violations of each kind are kept with their timeline.
const examples = 3

// judge decides from the histories and the audit whether each promise holds. REQUIRES,
// in this order: addEvent for every event, addContext, addJob for every job in order of
// ids, finish.
type judge struct {
	limits  Limits
	verdict Verdict

	enqueues         map[int64]*enqueueRecord // by the job's number
	handlerEvents    []handlerEvent           // sorted by job in addContext
	nextHandlerEvent int                      // index of the first event of the next job
	lastRun          map[int]time.Time

	faults       []Fault
	incarnations map[int64]Incarnation
	killedAt     map[int]time.Time // by process number
	postgresUp   []time.Time       // when Postgres accepted connections again, sorted
	sweeperSpans []Span            // when a sweeper watched without interruption, sorted
	firstLeases  []time.Time       // the first lease after each of postgresUp; zero: none
	mustFlow     []flowingFault
	order        order

	rules          map[string]bool          // by nemesis: the optional rules that apply
	drainedProcess map[int]bool             // processes that were killed after an order to drain
	pace           map[string]map[int64]int // completed attempts by queue and tenth of a second

	twoClocks bool // times of the database and of the processes cannot be compared

	drained     bool // every job must be finished
	healed      time.Time
	liveWorkers []int // worker processes that must have worked after healed
}

// enqueueRecord is one requested job as its caller knows it.
type enqueueRecord struct {
	kind       Kind
	answeredID int64 // from the answer
	actualID   int64 // from the audit
}

// handlerEvent is an event of a handler, kept small because there are millions.
type handlerEvent struct {
	n       int64 // the job's number; 0: unknown
	job     int64
	worker  int64
	at      time.Time
	process int32
	attempt int32
	op      Op
	kind    Kind
	outcome string
	effect  bool // its completion is part of the handler's transaction
}

func newJudge(limits Limits) *judge {
	return &judge{
		limits: limits, verdict: Verdict{Violations: map[string]int{}}, enqueues: map[int64]*enqueueRecord{},
		lastRun: map[int]time.Time{}, incarnations: map[int64]Incarnation{}, killedAt: map[int]time.Time{},
		order: order{queues: map[string]*queueOrder{}},
		rules: map[string]bool{}, drainedProcess: map[int]bool{}, pace: map[string]map[int64]int{},
	}
}

// addEvent takes one event of a history.
func (j *judge) addEvent(e Event) {
	switch e.Op {
	case OpEnqueue:
		j.addEnqueueEvent(e)
	case OpRun, OpEnd:
		j.handlerEvents = append(j.handlerEvents, handlerEvent{
			e.N, e.Job, e.Worker, e.At.Truncate(time.Microsecond), int32(e.Process), e.Attempt, e.Op, e.Kind,
			e.Outcome, e.Text == effectText,
		})
		if e.Op == OpRun && e.At.After(j.lastRun[e.Process]) {
			j.lastRun[e.Process] = e.At
		}
	}
}

// addContext takes the facts that are not in the histories. No event may follow.
func (j *judge) addContext(faults []Fault, incarnations []Incarnation, sweepers []Span) {
	j.faults = faults
	j.sweeperSpans = undisturbedSpans(sweepers, faults)
	for _, i := range incarnations {
		j.incarnations[i.ID] = i
	}
	for _, f := range faults {
		if f.Kills {
			j.killedAt[f.Process] = f.From
			j.drainedProcess[f.Process] = f.Drained
		}
		if f.Down {
			j.postgresUp = append(j.postgresUp, f.To)
		}
		if f.MustFlow != "" {
			j.mustFlow = append(j.mustFlow, flowingFault{Fault: f, lastLease: f.From})
		}
	}
	slices.SortFunc(j.postgresUp, time.Time.Compare)
	j.firstLeases = make([]time.Time, len(j.postgresUp))
	slices.SortStableFunc(j.handlerEvents, func(a, b handlerEvent) int { return cmp.Or(cmp.Compare(a.job, b.job), a.at.Compare(b.at)) })
}

// addJob judges one job by its steps, which are in order, and its effects.
func (j *judge) addJob(steps []Step, effects []Effect) {
	job := steps[0].Job
	for j.nextHandlerEvent < len(j.handlerEvents) && j.handlerEvents[j.nextHandlerEvent].job < job {
		j.reportUnknownJob(j.handlerEvents[j.nextHandlerEvent])
		j.nextHandlerEvent++
	}
	first := j.nextHandlerEvent
	for j.nextHandlerEvent < len(j.handlerEvents) && j.handlerEvents[j.nextHandlerEvent].job == job {
		j.nextHandlerEvent++
	}
	f := jobHistory{judge: j, job: job, steps: steps, events: j.handlerEvents[first:j.nextHandlerEvent], effects: effects}
	f.replay()
	f.matchHandlers()
	f.matchEffects()
	f.checkStarts()
	f.timing()
	j.matchEnqueue(&f)
}

// reportUnknownJob reports a job that no committed transaction enqueued.
func (j *judge) reportUnknownJob(n handlerEvent) {
	j.report(Violation{
		Promise: "P2", Kind: "unexpected",
		Text: fmt.Sprintf("a handler ran job %d, which no committed transaction enqueued", n.job),
	})
}

// finish returns the verdict.
func (j *judge) finish() *Verdict {
	for ; j.nextHandlerEvent < len(j.handlerEvents); j.nextHandlerEvent++ {
		j.reportUnknownJob(j.handlerEvents[j.nextHandlerEvent])
	}
	j.finishEnqueues()
	j.finishOrder()
	j.finishRecovery()
	j.finishPace()
	slices.Sort(j.verdict.Rescues)
	slices.Sort(j.verdict.FirstClaims)
	return &j.verdict
}

func (j *judge) report(v Violation) {
	j.verdict.Violations[v.Kind]++
	if j.verdict.Violations[v.Kind] <= examples {
		j.verdict.Examples = append(j.verdict.Examples, v)
	}
}
