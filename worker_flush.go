package penstock

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/bisect"
	"github.com/penstock/penstock/internal/pgerror"
	"github.com/penstock/penstock/internal/safetext"
	"github.com/penstock/penstock/internal/wait"
)

// flusher is the group commit of ends: what ends while a flush is under way goes
// in the next one. Repeating a flush is harmless (P8), so one whose reply was
// lost is repeated until Postgres answers. When Postgres refuses a batch for what
// one end holds, that end is found and becomes a failure. An end whose row another
// transaction keeps locked is tried again apart from the others, which it does not delay.
type flusher struct {
	worker *Worker

	// mu guards what follows, the lanes' waiting too.
	mu      sync.Mutex
	plain   flushLane
	locked  flushLane
	delayed int             // ends of locked rows that wait for their next try
	flights int             // flushes under way
	idlers  []chan struct{} // closed when nothing waits or is under way
}

// flushLane is ends that share flushes. Those whose row may be locked have a lane of
// their own: those after CompleteTx, where the handler may have left its transaction open,
// and those whose row was found locked. Its flushes pass over locked rows.
type flushLane struct {
	work    chan struct{} // one signal
	waiting map[*servedQueue][]ending
}

const (
	flushers  = 2 // of the plain lane: one fills while the other's commit is under way
	maxFlush  = 2000
	mostDelay = 366 * 24 * time.Hour
)

func newFlusher(w *Worker) *flusher {
	return &flusher{worker: w, plain: newFlushLane(), locked: newFlushLane()}
}

func newFlushLane() flushLane {
	return flushLane{work: make(chan struct{}, 1), waiting: map[*servedQueue][]ending{}}
}

func (l *flushLane) signal() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

func (f *flusher) submit(q *servedQueue, e ending) {
	lane := &f.plain
	if e.maybeLocked() {
		lane = &f.locked
	}
	e.x.over.Store(true)
	f.mu.Lock()
	lane.waiting[q] = append(lane.waiting[q], e)
	f.mu.Unlock()
	lane.signal()
}

// run flushes until ctx ends.
func (f *flusher) run(ctx context.Context) {
	var running sync.WaitGroup
	for range flushers {
		running.Go(func() { f.serve(ctx, &f.plain) })
	}
	running.Go(func() { f.serve(ctx, &f.locked) })
	running.Wait()
}

func (f *flusher) serve(ctx context.Context, lane *flushLane) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-lane.work:
		}
		for q, ends := f.next(lane); q != nil; q, ends = f.next(lane) {
			f.flush(ctx, q, ends)
			f.landed()
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// next takes a batch of one queue.
func (f *flusher) next(lane *flushLane) (*servedQueue, []ending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for q, ends := range lane.waiting {
		n := batchLength(ends, maxFlush, func(e ending) int { return len(e.x.result) + len(e.message) + len(e.detail) })
		if n == len(ends) {
			delete(lane.waiting, q)
		} else {
			lane.waiting[q] = ends[n:]
		}
		f.flights++
		if len(lane.waiting) > 0 {
			lane.signal()
		}
		return q, ends[:n:n]
	}
	return nil, nil
}

// busy reports whether an end waits or is under way. REQUIRES: mu.
func (f *flusher) busy() bool {
	return f.flights > 0 || f.delayed > 0 || len(f.plain.waiting) > 0 || len(f.locked.waiting) > 0
}

func (f *flusher) landed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flights--
	if !f.busy() {
		for _, c := range f.idlers {
			close(c)
		}
		f.idlers = nil
	}
}

func (f *flusher) pending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.busy()
}

// drain waits until every end submitted is answered, or ctx ends.
func (f *flusher) drain(ctx context.Context) {
	f.mu.Lock()
	if !f.busy() {
		f.mu.Unlock()
		return
	}
	c := make(chan struct{})
	f.idlers = append(f.idlers, c)
	f.mu.Unlock()
	select {
	case <-c:
	case <-ctx.Done():
		f.worker.logger().Warn("could not write every result before the shutdown; those jobs run again", "step", "drain")
	}
}

// flush writes ends until Postgres has answered each, or ctx ends.
func (f *flusher) flush(ctx context.Context, q *servedQueue, ends []ending) {
	_ = bisect.Send(ends, func(part []ending) error { return f.write(ctx, q, part) }, aboutContent, // every error is dealt with
		func(e ending, err error) error {
			f.writeRefused(ctx, q, e, err)
			return nil
		})
}

// write writes ends until Postgres has answered, or ctx ends. Its only error is that
// Postgres refused the batch for what one of them holds.
func (f *flusher) write(ctx context.Context, q *servedQueue, ends []ending) error {
	skipLocked := ends[0].maybeLocked() // as all of its lane
	for tries := 0; ctx.Err() == nil; tries++ {
		start := time.Now()
		answers, err := f.send(ctx, q, ends, skipLocked)
		f.worker.hooks.Flushed(FlushEvent{len(ends), time.Since(start), err})
		switch {
		case err == nil:
			f.answer(q, ends, answers)
			return nil
		case pgerror.LockTimedOut(err) && !skipLocked:
			skipLocked = true
			continue
		case pgerror.LockTimedOut(err): // of a breaker, say: it passes
		case aboutContent(err):
			return err
		case tries == 0:
			f.worker.logger().Warn("could not write results; trying until postgres answers",
				"step", "flush", "queue", q.name, "results", len(ends), "error", err)
		}
		wait.For(ctx, wait.Jitter(min(20*time.Millisecond<<min(tries, 6), time.Second)))
	}
	return nil
}

// writeRefused deals with one end that Postgres does not take as it is.
func (f *flusher) writeRefused(ctx context.Context, q *servedQueue, e ending, err error) {
	switch {
	case refused(&e, err):
		f.flush(ctx, q, []ending{e})
	default:
		f.worker.logger().Error("postgres refuses this result; the attempt ends at its deadline",
			"step", "flush", "queue", q.name, "job_id", e.x.lease.JobID, "attempt", e.x.lease.Attempt, "error", err)
		q.answered([]ending{e})
	}
}

// refused turns an end that Postgres does not take into a plain failure that it
// does; false when it was one already.
func refused(e *ending, err error) bool {
	if slices.Equal(e.classes, []string{"ResultRefused"}) {
		return false
	}
	*e = ending{
		x: e.x, err: e.err, outcome: OutcomeFailed, classes: []string{"ResultRefused"}, ran: e.ran, delay: -1,
		at:      e.at,
		message: safetext.Clean("postgres refused how this attempt ended: "+err.Error(), 1000),
	}
	e.x.result = nil
	return true
}

// send writes completions without a result by the fast path, which answers only those that
// were not accepted, and the others by finish; all of them by finish when it is to pass over
// locked rows.
func (f *flusher) send(ctx context.Context, q *servedQueue, ends []ending, skipLocked bool) ([]db.Ending, error) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	// In id order, as the functions lock them.
	slices.SortFunc(ends, func(a, b ending) int { return int(a.x.lease.JobID - b.x.lease.JobID) })
	var plain db.CompleteManyParams
	var other db.FinishParams
	for i := range ends {
		e := &ends[i]
		if e.plain() && !skipLocked {
			plain.JobIDs, plain.Attempts = append(plain.JobIDs, e.x.lease.JobID), append(plain.Attempts, e.x.lease.Attempt)
			plain.ClaimedAts = append(plain.ClaimedAts, e.x.lease.ClaimedAt)
			continue
		}
		add(&other, e)
	}
	var answers []db.Ending
	if len(plain.JobIDs) > 0 {
		plain.Queue = q.name
		got, err := f.worker.queries.CompleteMany(ctx, plain)
		if err != nil {
			return nil, err
		}
		answers = got
	}
	if len(other.JobIDs) > 0 {
		other.Queue, other.SkipLocked = q.name, skipLocked
		got, err := f.worker.queries.Finish(ctx, other)
		if err != nil {
			return nil, err
		}
		answers = append(answers, got...)
	}
	return answers, nil
}

func add(p *db.FinishParams, e *ending) {
	classes, result := "", json.RawMessage(nil)
	for i, c := range e.classes {
		if i > 0 {
			classes += " "
		}
		classes += c
	}
	if e.outcome == OutcomeCompleted {
		result = e.x.result
	}
	p.JobIDs, p.Attempts = append(p.JobIDs, e.x.lease.JobID), append(p.Attempts, e.x.lease.Attempt)
	p.ClaimedAts = append(p.ClaimedAts, e.x.lease.ClaimedAt)
	p.Outcomes, p.ErrorClasses = append(p.Outcomes, e.outcome), append(p.ErrorClasses, safetext.Clean(classes, 2000))
	p.Messages = append(p.Messages, safetext.Clean(e.message, 2000))
	p.Details = append(p.Details, safetext.Clean(e.detail, 16000))
	delay := min(e.delay, mostDelay)
	if delay < 0 {
		delay = -time.Second // Postgres counts microseconds: a nanosecond would be sent as 0
	}
	p.Results, p.Delays = append(p.Results, result), append(p.Delays, delay)
}

// answer reports what Postgres answered for each end. A plain completion without an answer
// was accepted.
func (f *flusher) answer(q *servedQueue, ends []ending, answers []db.Ending) {
	type key struct {
		id      int64
		attempt int32
	}
	answered := make(map[key]*db.Ending, len(answers))
	for i := range answers {
		answered[key{answers[i].JobID, answers[i].Attempt}] = &answers[i]
	}
	ended := make([]ending, 0, len(ends))
	var locked []ending
	for i := range ends {
		l := &ends[i].x.lease
		answer := answered[key{l.JobID, l.Attempt}]
		switch {
		case answer != nil && answer.Status == "locked":
			locked = append(locked, ends[i])
			continue
		case answer == nil && ends[i].plain():
			answer = &accepted
		}
		ended = append(ended, ends[i])
		f.report(&ends[i], answer)
	}
	q.answered(ended)
	f.tryLater(q, locked)
}

const (
	lockedRetry     = 20 * time.Millisecond // doubled with each try
	mostLockedRetry = time.Second
)

// tryLater submits ends again whose rows another transaction keeps locked: a handler's
// that it left open after CompleteTx, or that of somebody who cancels many jobs at once.
func (f *flusher) tryLater(q *servedQueue, ends []ending) {
	for _, e := range ends {
		e.lockedTries++
		f.mu.Lock()
		f.delayed++
		f.mu.Unlock()
		time.AfterFunc(wait.Jitter(min(lockedRetry<<min(e.lockedTries, 6), mostLockedRetry)), func() {
			f.submit(q, e)
			f.mu.Lock()
			f.delayed--
			f.mu.Unlock()
		})
	}
}

var accepted = db.Ending{Status: "accepted"}

func (f *flusher) report(e *ending, answer *db.Ending) {
	l := &e.x.lease
	event := e.event()
	switch {
	case answer == nil || answer.Status == "lease_lost" && !(e.x.inTx.Load() && value(answer.Outcome) == OutcomeCompleted):
		event.LeaseLost = true
	case e.x.inTx.Load() && value(answer.Outcome) == OutcomeCompleted:
		event.Outcome, event.State, event.ErrorClass = OutcomeCompleted, OutcomeCompleted, ""
		event.Message, event.Delay, event.Result = "", 0, e.x.result
	default:
		event.State = value(answer.State)
		event.RunAt = value(answer.RunAt).UTC()
		if event.State == "" && e.outcome == OutcomeCompleted {
			event.State = OutcomeCompleted
		}
	}
	f.worker.hooks.Ended(event)
	level := slog.LevelDebug
	if event.LeaseLost || event.Outcome == OutcomeFailed || event.Outcome == OutcomeDead {
		level = slog.LevelInfo
	}
	if log := f.worker.log; log.Enabled(context.Background(), level) {
		log.LogAttrs(context.Background(), level, "attempt finished", slog.Int64("worker_id", f.worker.ID()),
			slog.String("queue", l.Queue), slog.String("name", l.Name), slog.Int64("job_id", l.JobID),
			slog.Int("attempt", int(l.Attempt)), slog.String("outcome", event.Outcome), slog.String("state", event.State),
			slog.String("error_class", event.ErrorClass), slog.Bool("lease_lost", event.LeaseLost), slog.Duration("ran", e.ran))
	}
}
