package penstock

import (
	"slices"
	"sync"
	"time"

	"github.com/penstock/penstock/db"
)

// servedQueue is one queue as this process works it: what it has leased, what
// of that waits for a free handler, and how many handlers run.
type servedQueue struct {
	worker   *Worker
	name     string
	cfg      QueueConfig
	handlers map[string]*handler

	// room signals the fetcher that there may be room again. It holds one signal.
	room chan struct{}

	// mu guards what follows. Invariants: handling <= runners <= cfg.Concurrency;
	// every execution in buffer or being handled is in held; held also has those
	// whose end Postgres has not answered yet.
	mu       sync.Mutex
	held     map[int64]*execution
	buffer   []*execution    // leased, waiting for a handler: suspects, then the others, in claim order
	handling int             // executions in handlers
	runners  int             // goroutines that run handlers
	lowWater int             // signal room when no more than this are active
	idlers   []chan struct{} // closed when nothing is active

	// Throughput, for how much to lease ahead.
	ended     int     // since rateSince
	rate      float64 // ends per second, smoothed
	rateSince time.Time

	avoided      int         // jobs that come back although a handler of them still runs here
	cautiousTill time.Time   // until then nothing is leased ahead: a worker died with jobs that come now
	aheadTimer   *time.Timer // fires when what is leased ahead may have waited for too long; nil: not set
	aheadEnded   int         // all that ended here, and as it was when the timer was set
	endedInAll   int
}

func newServedQueue(w *Worker, name string, cfg QueueConfig) *servedQueue {
	return &servedQueue{
		worker: w, name: name, cfg: cfg, handlers: map[string]*handler{}, room: make(chan struct{}, 1),
		held: map[int64]*execution{}, rateSince: time.Now(),
	}
}

const (
	maxClaim = 2000
	// maxUnheard is how many ends may wait for Postgres before no more is claimed: what all
	// flushes carry, twice. They run again if this process is killed now.
	maxUnheard = 2 * flushers * maxFlush
	aheadFor   = 50 * time.Millisecond
	// mostAhead is how long a leased job may wait for a handler before it is given back.
	mostAhead   = 300 * time.Millisecond
	cautiousFor = time.Minute
	// busyDelay is for a job that comes back while an earlier attempt of it still runs here.
	// It doubles each time, up to mostBusyDelay.
	busyDelay     = time.Second
	mostBusyDelay = 5 * time.Second
	// avoidFor delays this process's claims while there are such jobs, so that another
	// process that is free takes them first.
	avoidFor = 20 * time.Millisecond
)

// active is how many executions are not over. REQUIRES: mu.
func (q *servedQueue) active() int { return len(q.buffer) + q.handling }

// capacity is how many may be active: the handlers, and what they will have
// finished 50 ms from now at the present rate, so that short jobs come in
// batches while a long job is never leased before its turn. REQUIRES: mu.
func (q *servedQueue) capacity() int {
	if time.Now().Before(q.cautiousTill) {
		return q.cfg.Concurrency
	}
	return q.cfg.Concurrency + min(int(q.rate*aheadFor.Seconds()), 2*maxClaim)
}

// wanted is how many jobs to claim now; when 0, room will be signalled.
func (q *servedQueue) wanted() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if elapsed := time.Since(q.rateSince); elapsed > time.Millisecond {
		q.rate += (float64(q.ended)/elapsed.Seconds() - q.rate) * min(1, 0.3+elapsed.Seconds())
		q.ended, q.rateSince = 0, time.Now()
	}
	capacity, active := q.capacity(), q.active()
	// Short jobs are claimed half a capacity at a time; a long one at once.
	q.lowWater = capacity - max(1, (capacity-q.cfg.Concurrency)/2)
	if active > q.lowWater || len(q.held)-active >= maxUnheard {
		return 0
	}
	return min(capacity-active, maxClaim)
}

// avoids reports whether another process should take due jobs first.
func (q *servedQueue) avoids() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.avoided > 0
}

// take starts what a claim brought. Some of it goes back at once: jobs of which an earlier
// attempt still runs here, since its handler did not return, and suspects (worker_suspect.go)
// beyond the one that may run.
func (q *servedQueue) take(leases []db.Lease, inc *incarnation) {
	q.mu.Lock()
	now := time.Now()
	waiting := slices.IndexFunc(q.buffer, func(x *execution) bool { return !x.suspect() })
	if waiting < 0 {
		waiting = len(q.buffer)
	}
	var suspects, others []*execution
	var back []ending
	for _, l := range leases {
		if l.Crashes > 0 {
			q.cautiousTill = now.Add(cautiousFor)
		}
		if old := q.held[l.JobID]; old != nil && !old.started.IsZero() && !old.over.Load() {
			back = append(back, ending{
				x: q.execution(l, inc, now), outcome: OutcomeReleased, delay: min(busyDelay<<min(old.givenBack, 6), mostBusyDelay),
				message: "not started: the handler of an earlier attempt has not returned in this process",
			})
			if old.givenBack++; old.givenBack == 1 {
				q.avoided++
			}
			continue
		}
		x := q.execution(l, inc, now)
		q.held[l.JobID] = x
		switch {
		case !x.suspect():
			others = append(others, x)
		case waiting+len(suspects) == 0:
			suspects = append(suspects, x)
		default:
			back = append(back, ending{
				x: x, outcome: OutcomeReleased, delay: min(time.Duration(len(back)+1)*aheadFor, mostBusyDelay),
				message: "not started: two workers have died with this job, and such jobs run one at a time",
			})
		}
	}
	q.buffer = slices.Concat(q.buffer[:waiting], suspects, q.buffer[waiting:], others)
	q.startHandlers()
	q.boundAhead()
	q.mu.Unlock()
	for _, e := range back {
		q.worker.flusher.submit(q, e)
	}
}

// boundAhead sets the timer for what waits for a handler. REQUIRES: mu.
func (q *servedQueue) boundAhead() {
	if q.aheadTimer == nil && len(q.buffer) > 0 {
		q.aheadEnded = q.endedInAll
		q.aheadTimer = time.AfterFunc(mostAhead, q.giveBack)
	}
}

// giveBack releases what has waited for a handler for too long and will wait on: what the
// handlers would not reach within mostAhead at the pace of the last mostAhead. So jobs that
// take longer than those before them are not held while other workers are idle (P4).
func (q *servedQueue) giveBack() {
	q.mu.Lock()
	q.aheadTimer = nil
	reached := min(q.endedInAll-q.aheadEnded, len(q.buffer))
	late := time.Now().Add(-mostAhead)
	from := slices.IndexFunc(q.buffer[reached:], func(x *execution) bool { return !x.claimed.After(late) })
	var back []*execution
	if from >= 0 {
		kept := q.buffer[:reached:reached]
		for _, x := range q.buffer[reached:] {
			if x.claimed.After(late) {
				kept = append(kept, x)
			} else {
				back = append(back, x)
			}
		}
		q.buffer = kept
	}
	q.boundAhead()
	q.signal()
	q.mu.Unlock()
	for _, x := range back {
		q.worker.flusher.submit(q, ending{x: x, outcome: OutcomeReleased, message: "not started: no handler was free in time"})
	}
}

// execution makes an attempt of a lease, which a cancel reaches once it is in held.
func (q *servedQueue) execution(l db.Lease, inc *incarnation, now time.Time) *execution {
	x := newExecution(inc.ctx, l, q.worker.upkeep)
	x.claimed = now
	return x
}

// startHandlers fills free handlers from the buffer. REQUIRES: mu.
func (q *servedQueue) startHandlers() {
	for n := len(q.buffer); n > 0 && q.runners < q.cfg.Concurrency; n-- {
		q.runners++
		go q.handle(false)
	}
}

// handle runs the attempts of the buffer, one after another, on one goroutine. ended: an
// attempt has just ended on it.
func (q *servedQueue) handle(ended bool) {
	for x := q.next(ended); x != nil; x = q.next(true) {
		returned := false
		func() {
			defer func() {
				if !returned { // runtime.Goexit took this goroutine; another carries on
					go q.handle(true)
				}
			}()
			q.run(x, q.submit)
			returned = true
		}()
	}
}

// next counts an attempt that ended, and takes the one whose turn it is; nil
// ends the runner. One lock for both: there is a turn for every job.
func (q *servedQueue) next(ended bool) *execution {
	q.mu.Lock()
	defer q.mu.Unlock()
	if ended {
		q.handling--
		q.ended++
		q.endedInAll++
		defer q.signal()
	}
	if len(q.buffer) == 0 {
		q.runners--
		return nil
	}
	x := q.buffer[0]
	q.buffer[0] = nil
	q.buffer = q.buffer[1:]
	q.handling++
	x.started = time.Now()
	return x
}

// submit hands an end to the flusher, before next counts it: a drain that finds
// nothing active finds all ends submitted.
func (q *servedQueue) submit(e ending) { q.worker.flusher.submit(q, e) }

// signal wakes a fetcher that waits for room and drains that wait for silence.
// REQUIRES: mu.
func (q *servedQueue) signal() {
	if q.active() <= q.lowWater {
		select {
		case q.room <- struct{}{}:
		default:
		}
	}
	if q.active() == 0 {
		for _, c := range q.idlers {
			close(c)
		}
		q.idlers = nil
	}
}

// idle is closed when nothing is active.
func (q *servedQueue) idle() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := make(chan struct{})
	if q.active() == 0 {
		close(c)
	} else {
		q.idlers = append(q.idlers, c)
	}
	return c
}

// quiet reports whether nothing is active.
func (q *servedQueue) quiet() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.active() == 0
}

// releaseUnstarted gives back what waits for a handler.
func (q *servedQueue) releaseUnstarted() {
	q.mu.Lock()
	unstarted := q.buffer
	q.buffer = nil
	q.signal()
	q.mu.Unlock()
	for _, x := range unstarted {
		q.worker.flusher.submit(q, ending{x: x, outcome: OutcomeReleased})
	}
}

// heldLeases are the jobs leased here and when they were claimed, for release_unheld.
func (q *servedQueue) heldLeases() (ids []int64, claimedAts []time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids, claimedAts = make([]int64, 0, len(q.held)), make([]time.Time, 0, len(q.held))
	for id, x := range q.held {
		ids, claimedAts = append(ids, id), append(claimedAts, x.lease.ClaimedAt)
	}
	return ids, claimedAts
}

// answered forgets executions whose end Postgres has answered.
func (q *servedQueue) answered(ends []ending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range ends {
		// The job may be held again already, by a later attempt.
		if q.held[e.x.lease.JobID] == e.x {
			if e.x.givenBack > 0 {
				q.avoided--
			}
			delete(q.held, e.x.lease.JobID)
		}
	}
}

// endHeld ends the contexts of those of the ids that are held.
func (q *servedQueue) endHeld(ids []int64, cause error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		if x := q.held[id]; x != nil {
			x.ctx.end(cause)
		}
	}
}
