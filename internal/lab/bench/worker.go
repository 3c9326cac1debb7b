package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
)

// benchWorker is one worker on one queue, with counters. It has its own pool and
// client, so the enqueuing client can wake it through Postgres only.
type benchWorker struct {
	client *penstock.Client // the worker's own

	completed      atomic.Int64 // ends recorded by Postgres
	claimed        atomic.Int64
	claimNanos     atomic.Int64  // duration of claims that returned jobs
	claimsWithWork atomic.Int64  // claims made while jobs waited
	emptyClaims    atomic.Int64  // those of them that returned nothing
	waiting        *atomic.Int64 // jobs not claimed yet; nil: not counted

	target  int64
	reached chan time.Time // receives the moment when target ends were recorded
	more    chan struct{}  // signals that more ends are recorded
	stop    context.CancelFunc
	result  chan error // receives what Run returned
}

// workerLoad says what a benchWorker does.
type workerLoad struct {
	queue       string
	concurrency int                              // 0: the library's default
	target      int64                            // ends to wait for; 0: none
	untilEmpty  bool                             // StopWhenDrained
	otherQueues []string                         // further queues to serve
	waiting     *atomic.Int64                    // waiting jobs, shared and counted down by several workers
	handle      func(job *penstock.Job[payload]) // nil does nothing
}

// startWorker runs a worker. Its error arrives on result.
func (b *bench) startWorker(ctx context.Context, w workerLoad) (*benchWorker, error) {
	c := &benchWorker{target: w.target, waiting: w.waiting, reached: make(chan time.Time, 1), more: make(chan struct{}, 1), result: make(chan error, 1)}
	pool, err := pgxpool.NewWithConfig(ctx, b.config.Copy())
	if err != nil {
		return nil, fmt.Errorf("open a pool: %w", err)
	}
	c.client, err = penstock.NewClient(pool, penstock.Config{
		Logger: b.opts.Log, Hooks: penstock.Hooks{Ended: c.onEnd, Claimed: c.onClaim},
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	queues := map[string]penstock.QueueConfig{w.queue: {Concurrency: w.concurrency}}
	for _, queue := range w.otherQueues {
		queues[queue] = penstock.QueueConfig{Concurrency: w.concurrency}
	}
	worker, err := penstock.NewWorker(c.client, penstock.WorkerConfig{Queues: queues, StopWhenDrained: w.untilEmpty})
	if err != nil {
		pool.Close()
		return nil, err
	}
	penstock.Handle(worker, w.queue, jobName, func(_ context.Context, job *penstock.Job[payload]) error {
		if w.handle != nil {
			w.handle(job)
		}
		return nil
	})
	ctx, c.stop = context.WithCancel(ctx)
	go func() {
		defer pool.Close()
		c.result <- worker.Run(ctx)
	}()
	return c, nil
}

func (c *benchWorker) onEnd(e penstock.EndEvent) {
	if e.LeaseLost || e.Outcome != "completed" {
		return
	}
	if c.completed.Add(1) == c.target {
		c.reached <- time.Now()
	}
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// waitForTotal waits until total ends are recorded.
func (c *benchWorker) waitForTotal(ctx context.Context, total int64) error {
	for c.completed.Load() < total {
		select {
		case <-c.more:
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-c.result:
			return c.stoppedEarly(err, total)
		}
	}
	return nil
}

// stoppedEarly returns the error for a worker that stopped too soon with err.
func (c *benchWorker) stoppedEarly(err error, total int64) error {
	c.result <- err // drainAndWait and abort still receive it
	if err == nil {
		err = errors.New("no job was left")
	}
	return fmt.Errorf("%w: the worker stopped after %d of %d jobs (%v)", ErrMiscounted, c.completed.Load(), total, err)
}

func (c *benchWorker) onClaim(e penstock.ClaimEvent) {
	if c.waiting != nil && c.waiting.Add(-int64(e.Jobs))+int64(e.Jobs) > 0 {
		c.claimsWithWork.Add(1)
		if e.Jobs == 0 {
			c.emptyClaims.Add(1)
		}
	}
	if e.Jobs > 0 {
		c.claimed.Add(int64(e.Jobs))
		c.claimNanos.Add(int64(e.Took))
	}
}

// waitForTarget waits until the target is reached and returns the moment.
func (c *benchWorker) waitForTarget(ctx context.Context) (time.Time, error) {
	select {
	case at := <-c.reached:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	case err := <-c.result:
		early := c.stoppedEarly(err, c.target)
		select {
		case at := <-c.reached: // reached at the last moment
			return at, nil
		default:
			return time.Time{}, early
		}
	}
}

// drainAndWait stops the worker and returns when it has drained.
func (c *benchWorker) drainAndWait() error {
	c.stop()
	if err := <-c.result; err != nil {
		return fmt.Errorf("run the worker: %w", err)
	}
	return nil
}

// abort stops the worker after err, and returns err.
func (c *benchWorker) abort(err error) error {
	c.stop()
	<-c.result
	return err
}
