package penstock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/penstock/penstock/internal/bisect"
	"github.com/penstock/penstock/internal/pgerror"
)

// enqueueGroup lets concurrent Enqueue calls share commits: what arrives while
// a flush is under way goes in the next one, so an idle client adds no wait.
type enqueueGroup struct {
	client *Client

	// mu guards what follows. Invariant: waiting is non-empty only while
	// flushing == maxFlushes or between a lock and its unlock.
	mu       sync.Mutex
	waiting  []*enqueueCall
	flushing int
}

// enqueueCall is one caller's job. done gets exactly one answer.
type enqueueCall struct {
	ctx  context.Context
	row  row
	done chan enqueueAnswer
}

type enqueueAnswer struct {
	id  int64
	err error
}

const (
	maxFlushes   = 2 // one fills while the other's commit is under way
	maxFlushRows = 2000
	maxFlushSize = 16 << 20 // bytes; a message of Postgres ends at 1 GiB
	flushTimeout = 30 * time.Second
	flushTries   = 4
)

func (g *enqueueGroup) enqueue(ctx context.Context, r row) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	call := &enqueueCall{ctx, r, make(chan enqueueAnswer, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, call)
	start := g.flushing < maxFlushes
	if start {
		g.flushing++
	}
	g.mu.Unlock()
	if start {
		go g.flushAll()
	}
	select {
	case answer := <-call.done:
		return answer.id, answer.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// batchLength is how many of items go into one statement: at most most of them,
// and no more bytes than a statement should have, but at least one.
func batchLength[T any](items []T, most int, size func(T) int) int {
	bytes := 0
	for i, item := range items {
		bytes += size(item)
		if i == most || i > 0 && bytes > maxFlushSize {
			return i
		}
	}
	return len(items)
}

// flushAll flushes until no call waits.
func (g *enqueueGroup) flushAll() {
	for {
		// Callers that are about to enqueue, such as those the last flush answered, come
		// first: else every other flush would carry one job. When there are none, this
		// costs nothing.
		runtime.Gosched()
		g.mu.Lock()
		n := batchLength(g.waiting, maxFlushRows, func(c *enqueueCall) int { return len(c.row.data) + len(c.row.options) })
		calls := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		if n == 0 {
			g.flushing--
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		live := calls[:0:0]
		for _, call := range calls {
			if call.ctx.Err() == nil { // else its caller has left, and does not want the job any more
				live = append(live, call)
			}
		}
		g.flush(live)
	}
}

// flush enqueues calls in one transaction and answers each. When Postgres refuses a batch
// for what one job holds, that job is found and fails alone.
func (g *enqueueGroup) flush(calls []*enqueueCall) {
	if len(calls) == 0 {
		return
	}
	_ = bisect.Send(calls, g.send, aboutContent, func(call *enqueueCall, err error) error {
		g.answerFailure([]*enqueueCall{call}, err)
		return nil
	}) // send has answered every other failure
}

// send enqueues calls and answers them, unless Postgres refused what they hold: that is
// its only error.
func (g *enqueueGroup) send(calls []*enqueueCall) error {
	rows := make([]row, len(calls))
	for i, call := range calls {
		rows[i] = call.row
	}
	ids, err := g.commit(rows)
	switch {
	case err == nil:
		for i, call := range calls {
			call.done <- enqueueAnswer{id: ids[i]}
		}
	case aboutContent(err):
		return err
	default:
		g.answerFailure(calls, err)
	}
	return nil
}

// commit sends rows, again as long as the failure proves that nothing of them
// was kept.
func (g *enqueueGroup) commit(rows []row) (ids []int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	for try := range flushTries {
		ids, err = g.client.enqueueRows(ctx, rows)
		if err == nil || !pgerror.Passing(err) {
			return ids, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(time.Duration(1<<try) * 10 * time.Millisecond * time.Duration(50+rand.IntN(100)) / 100):
		}
	}
	return ids, err
}

// answerFailure answers each caller with what is known. Where the reply was lost, a job
// with an idempotency key is simply sent again: that is harmless (P7).
func (g *enqueueGroup) answerFailure(calls []*enqueueCall, err error) {
	lost := replyLost(err)
	var again []row
	var keyed []*enqueueCall
	for _, call := range calls {
		switch {
		case lost && call.row.repeatable:
			again, keyed = append(again, call.row), append(keyed, call)
		case lost:
			call.done <- enqueueAnswer{err: fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)}
		default:
			call.done <- enqueueAnswer{err: err}
		}
	}
	if len(again) == 0 {
		return
	}
	ids, err := g.commit(again)
	for i, call := range keyed {
		if err != nil { // whatever became of the second try, the first may have committed
			call.done <- enqueueAnswer{err: fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)}
			continue
		}
		call.done <- enqueueAnswer{id: ids[i]}
	}
}
