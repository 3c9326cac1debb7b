package penstock

import (
	"context"
	"fmt"
	"slices"
)

// EnqueueFunc enqueues jobs, all or none, and returns their ids in order.
type EnqueueFunc func(ctx context.Context, jobs []NewJob) ([]int64, error)

// EnqueueMiddleware wraps the enqueues of a client, in transactions too: the first
// given is the outermost. It may change the jobs, which are the caller's copies, or
// refuse them; it must hand on as many as it got. Jobs enqueued by SQL, by other
// programs or by a redrive do not pass it.
type EnqueueMiddleware func(next EnqueueFunc) EnqueueFunc

// through is enqueue inside the middleware, of which there is some.
func (c *Client) through(enqueue EnqueueFunc) EnqueueFunc {
	for _, m := range slices.Backward(c.middleware) {
		enqueue = m(enqueue)
	}
	return func(ctx context.Context, jobs []NewJob) ([]int64, error) {
		ids, err := enqueue(ctx, slices.Clone(jobs))
		if err == nil && len(ids) != len(jobs) {
			return nil, fmt.Errorf("penstock: enqueue middleware answered %d jobs with %d ids", len(jobs), len(ids))
		}
		return ids, err
	}
}

// enqueueThrough is Enqueue inside the middleware. It is apart so that the job stays on
// the stack where there is none.
func (c *Client) enqueueThrough(ctx context.Context, job NewJob) (int64, error) {
	ids, err := c.through(func(ctx context.Context, jobs []NewJob) ([]int64, error) {
		if len(jobs) != 1 {
			return c.enqueueMany(ctx, jobs)
		}
		id, err := c.enqueueOne(ctx, &jobs[0])
		if err != nil {
			return nil, err
		}
		return []int64{id}, nil
	})(ctx, []NewJob{job})
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}
