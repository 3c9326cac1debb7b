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
)

// active is how many executions are not over. REQUIRES: mu.
func (q *servedQueue) active() int { return len(q.buffer) + q.handling }

// capacity is how many may be active: the handlers, and what they will have
// finished 50 ms from now at the present rate, so that short jobs come in
// batches while a long job is never leased before its turn. REQUIRES: mu.
func (q *servedQueue) capacity() int {
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

// take starts what a claim brought. One more loss moves a suspect to the DLQ as
// crash_loop, also when another job has crashed the worker. So suspects start first, no
// more of them wait than there are handlers, and the others are released, to come back as
// many at a time.
func (q *servedQueue) take(leases []db.Lease, inc *incarnation) {
	q.mu.Lock()
	waiting := slices.IndexFunc(q.buffer, func(x *execution) bool { return !x.suspect() })
	if waiting < 0 {
		waiting = len(q.buffer)
	}
	var suspects, others, back []*execution
	for _, l := range leases {
		x := q.hold(l, inc)
		switch {
		case !x.suspect():
			others = append(others, x)
		case waiting+len(suspects) < q.cfg.Concurrency:
			suspects = append(suspects, x)
		default:
			back = append(back, x)
		}
	}
	q.buffer = slices.Concat(q.buffer[:waiting], suspects, q.buffer[waiting:], others)
	q.startHandlers()
	q.mu.Unlock()
	for i, x := range back {
		q.worker.flusher.submit(q, ending{
			x: x, outcome: OutcomeReleased, delay: time.Duration(i/q.cfg.Concurrency+1) * aheadFor,
			message: "not started: two workers have died with this job, so it is not leased ahead of its turn",
		})
	}
}

// hold makes a lease an execution that a cancel can reach. REQUIRES: mu.
func (q *servedQueue) hold(l db.Lease, inc *incarnation) *execution {
	x := newExecution(inc.ctx, l, q.worker.upkeep)
	q.held[l.JobID] = x
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

// heldIDs are the jobs leased here, for release_unheld.
func (q *servedQueue) heldIDs() []int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := make([]int64, 0, len(q.held))
	for id := range q.held {
		ids = append(ids, id)
	}
	return ids
}

// answered forgets executions whose end Postgres has answered.
func (q *servedQueue) answered(ends []ending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range ends {
		// The job may be held again already, by a later attempt.
		if q.held[e.x.lease.JobID] == e.x {
			delete(q.held, e.x.lease.JobID)
		}
	}
}

// cancel ends the contexts of those of the ids that are held.
func (q *servedQueue) cancel(ids []int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		if x := q.held[id]; x != nil {
			x.ctx.end(ErrCancelled)
		}
	}
}
