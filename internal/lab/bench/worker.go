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

// crew is one worker on one queue, on a pool and a client of its own so that what
// enqueues cannot wake it without Postgres, and the counts of what it did.
type benchWorker struct {
	client *penstock.Client // the worker's own

	completed      atomic.Int64 // ends that Postgres has recorded
	claimed        atomic.Int64
	claimNanos     atomic.Int64  // nanoseconds spent in claims that brought something
	claimsWithWork atomic.Int64  // claims answered while jobs waited
	emptyClaims    atomic.Int64  // those of them that brought nothing
	waiting        *atomic.Int64 // jobs that nobody has claimed; nil: not counted

	target  int64
	reached chan time.Time // gets the moment when target ends were recorded
	more    chan struct{}  // one signal: more ends are recorded
	stop    context.CancelFunc
	result  chan error // what Run returned
}

// work is what a crew is to do.
type workerLoad struct {
	queue       string
	concurrency int                              // 0: the library's default
	target      int64                            // ends to wait for; 0: none
	untilEmpty  bool                             // StopWhenDrained
	otherQueues []string                         // more queues to serve
	waiting     *atomic.Int64                    // jobs that wait, counted down by the workers who share it
	handle      func(job *penstock.Job[payload]) // nil does nothing
}

// start runs a worker. Its error, and that of what it runs on, comes from wait.
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

// awaitTotal waits until as many ends are recorded.
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

// early is the error of a worker that stopped too soon, of which err is what it said.
func (c *benchWorker) stoppedEarly(err error, total int64) error {
	c.result <- err // dismiss and abandon still want it
	if err == nil {
		err = errors.New("it found nothing left to do")
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

// await waits until the target is reached and returns when that was.
func (c *benchWorker) waitForTarget(ctx context.Context) (time.Time, error) {
	select {
	case at := <-c.reached:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	case err := <-c.result:
		early := c.stoppedEarly(err, c.target)
		select {
		case at := <-c.reached: // just now
			return at, nil
		default:
			return time.Time{}, early
		}
	}
}

// dismiss lets the worker drain and returns when it has.
func (c *benchWorker) drainAndWait() error {
	c.stop()
	if err := <-c.result; err != nil {
		return fmt.Errorf("run the worker: %w", err)
	}
	return nil
}

// abandon ends the worker after err, which is what the caller says.
func (c *benchWorker) abort(err error) error {
	c.stop()
	<-c.result
	return err
}
