package httpapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

const (
	depthLife = 10 * time.Second // how old the figure may be that a queue is refused by
	depthWait = 2 * time.Second  // for a count
)

// errDeep: as many jobs wait in the queue as HTTP may bring it to.
var errDeep = errors.New("the queue is full")

// queueLimits keeps producers from filling a queue without end over HTTP. Inside Postgres
// nothing is refused: there the caller's own transaction is at stake.
type queueLimits struct {
	client *penstock.Client
	most   int // jobs waiting in a queue; 0: any number

	mu     sync.Mutex        // guards queues
	queues map[string]*depth // emptied when it has mostQueues: names are the clients' to choose
}

const mostQueues = 10_000

// depth is what was last counted of a queue.
type depth struct {
	mu      sync.Mutex
	waiting int64
	counted time.Time
}

// check refuses an operation that enqueues into a full queue. A failing count refuses
// nothing: the enqueue will say what is wrong.
func (d *queueLimits) check(c echo.Context, op *validate.Operation) error {
	if d.most == 0 || !enqueues[op.ID] {
		return nil
	}
	queue := pathParameter(c, queueParameter)
	if d.of(queue).count(c.Request().Context(), d.client, queue, d.most) >= int64(d.most) {
		return slowDown{errDeep, depthLife}
	}
	return nil
}

func (d *queueLimits) of(queue string) *depth {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.queues[queue]
	if !ok {
		if len(d.queues) == mostQueues {
			clear(d.queues)
		}
		known = &depth{}
		d.queues[queue] = known
	}
	return known
}

func (q *depth) count(ctx context.Context, client *penstock.Client, queue string, most int) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.counted) < depthLife {
		return q.waiting
	}
	ctx, cancel := context.WithTimeout(ctx, depthWait)
	defer cancel()
	waiting, err := client.Queues.Depth(ctx, queue, most)
	if err != nil {
		waiting = 0
	}
	q.waiting, q.counted = waiting, time.Now()
	return q.waiting
}
