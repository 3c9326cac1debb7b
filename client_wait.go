package penstock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/wait"
)

// Wait returns the job once it has finished or died, with its attempts and so its
// result. However many wait, one statement at a time asks for all of them: for a new
// waiter after 5 ms, and then less and less often, up to every half second.
// Errors: ErrJobNotFound; ctx's.
func (c *Client) Wait(ctx context.Context, id int64) (*JobInfo, error) {
	if c.pool == nil {
		return c.waitInside(ctx, id)
	}
	w := c.watch.join(c.queries, id)
	defer c.watch.leave(w)
	select {
	case <-w.ended:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for job %d: %w", id, ctx.Err())
	}
	if w.err != nil {
		return nil, translate("wait for job", w.err)
	}
	return c.Job(ctx, id)
}

// waitInside waits in the caller's transaction, which sees what no other does.
func (c *Client) waitInside(ctx context.Context, id int64) (*JobInfo, error) {
	for every := firstWatch; ; every = min(every*3/2, slowestWatch) {
		rows, err := c.queries.JobStates(ctx, []int64{id})
		if err != nil {
			return nil, translate("wait for job", err)
		}
		if len(rows) == 0 || !isOpen(State(rows[0].State)) {
			return c.Job(ctx, id)
		}
		if wait.For(ctx, every); ctx.Err() != nil {
			return nil, fmt.Errorf("wait for job %d: %w", id, ctx.Err())
		}
	}
}

// isOpen reports whether a job in that state has not ended.
func isOpen(s State) bool {
	return s == Waiting || s == Scheduled || s == Retrying || s == Running
}

const (
	firstWatch     = 5 * time.Millisecond   // after a waiter came
	slowestWatch   = 500 * time.Millisecond // between two questions about the same job
	watchPace      = 20 * time.Millisecond  // between two statements while many wait
	manyWaiters    = 16
	mostWatched    = 1000             // jobs of one statement
	watchStatement = 10 * time.Second // for one statement
)

// jobWatch asks for the jobs that a process waits for. Its loop runs while somebody
// waits.
type jobWatch struct {
	mu      sync.Mutex // guards all below
	waiters map[*waiter]struct{}
	running bool
	wake    chan struct{} // waiters came or left; holds one
}

// waiter is one call of Wait.
type waiter struct {
	id    int64
	every time.Duration
	due   time.Time
	ended chan struct{} // closed when the job has ended or err is set
	err   error
}

func (j *jobWatch) join(queries *db.Queries, id int64) *waiter {
	w := &waiter{id: id, every: firstWatch, due: time.Now(), ended: make(chan struct{})}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.waiters == nil {
		j.waiters, j.wake = map[*waiter]struct{}{}, make(chan struct{}, 1)
	}
	j.waiters[w] = struct{}{}
	if !j.running {
		j.running = true
		go j.run(queries)
	}
	j.changed()
	return w
}

func (j *jobWatch) leave(w *waiter) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.waiters, w)
	j.changed()
}

// changed wakes the loop.
// REQUIRES: mu.
func (j *jobWatch) changed() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run asks until nobody waits.
func (j *jobWatch) run(queries *db.Queries) {
	for {
		due, next, many := j.due()
		switch {
		case due == nil && next.IsZero():
			return
		case due == nil:
			select {
			case <-time.After(time.Until(next)):
			case <-j.wake:
			}
			continue
		}
		j.ask(queries, due)
		if many {
			time.Sleep(watchPace)
		}
	}
}

// due lists the waiters to ask for now, at most mostWatched, and when the next one is
// due; next is zero when nobody waits, and the loop has ended then.
func (j *jobWatch) due() (due []*waiter, next time.Time, many bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	for w := range j.waiters {
		switch {
		case w.due.After(now):
			if next.IsZero() || w.due.Before(next) {
				next = w.due
			}
		case len(due) < mostWatched:
			due = append(due, w)
		}
	}
	if len(j.waiters) == 0 {
		j.running = false
	}
	return due, next, len(j.waiters) > manyWaiters
}

// ask ends the waiting for jobs that have ended.
func (j *jobWatch) ask(queries *db.Queries, due []*waiter) {
	ids := make([]int64, len(due))
	for i, w := range due {
		ids[i] = w.id
	}
	ctx, cancel := context.WithTimeout(context.Background(), watchStatement)
	defer cancel()
	rows, err := queries.JobStates(ctx, ids)
	open := make(map[int64]bool, len(rows))
	for _, r := range rows {
		open[r.ID] = isOpen(State(r.State))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range due {
		if err == nil && open[w.id] {
			w.every = min(w.every*3/2, slowestWatch)
			w.due = time.Now().Add(w.every)
			continue
		}
		w.err = err
		delete(j.waiters, w)
		close(w.ended)
	}
}
