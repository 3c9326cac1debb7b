package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
)

// payload is a job's data: a number, and padding up to the requested size. It is
// encoded by encoding/json like any application's data.
type payload struct {
	N   int    `json:"n"`
	Pad string `json:"pad"`
}

// Bounds of the size of a job's data.
const (
	MinPayload = 30
	MaxPayload = 1 << 20
)

// newPayload returns size bytes of JSON for any n of up to 13 digits.
func newPayload(n, size int) payload {
	const empty = len(`{"n":,"pad":""}`)
	return payload{n, padding(size - empty - len(fmt.Sprint(n)))}
}

var padText = strings.Repeat("x", MaxPayload)

func padding(n int) string { return padText[:min(max(n, 0), len(padText))] }

func (p payload) json() json.RawMessage {
	text, _ := json.Marshal(p) // a number and a string
	return text
}

const (
	jobName   = "noop"
	bulkBatch = 1000 // jobs of one EnqueueMany
)

// newJob returns the n-th job of a queue.
func (b *bench) newJob(queue string, n int) penstock.NewJob {
	return penstock.NewJob{Queue: queue, Name: jobName, Data: newPayload(n, b.load.PayloadBytes)}
}

// client returns a client on a pool of its own, with so many connections (0: pgx's
// default).
func (b *bench) client(ctx context.Context, connections int) (*penstock.Client, *pgxpool.Pool, error) {
	config := b.config.Copy()
	if connections > 0 {
		config.MaxConns = int32(connections)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, fmt.Errorf("open a pool: %w", err)
	}
	client, err := penstock.NewClient(pool, penstock.Config{Logger: b.opts.Log})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return client, pool, nil
}

// enqueueBulk enqueues jobs from so many goroutines, 1,000 per call. modify, if not
// nil, changes each job.
func (b *bench) enqueueBulk(ctx context.Context, queue string, jobs, goroutines int, modify func(*penstock.NewJob)) (*Speed, error) {
	client, pool, err := b.client(ctx, goroutines)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	var taken, enqueued atomic.Int64
	defer b.stage("enqueueing in bulk", int64(jobs), enqueued.Load)()
	start := time.Now()
	err = together(ctx, goroutines, func(ctx context.Context) error {
		for {
			n := int(taken.Add(bulkBatch)) - bulkBatch
			if n >= jobs {
				return nil
			}
			batch := make([]penstock.NewJob, min(bulkBatch, jobs-n))
			for i := range batch {
				batch[i] = b.newJob(queue, n+i)
				if modify != nil {
					modify(&batch[i])
				}
			}
			if _, err := client.EnqueueMany(ctx, batch); err != nil {
				return err
			}
			enqueued.Add(int64(len(batch)))
		}
	})
	return speed(int64(jobs), time.Since(start)), err
}

// enqueueSingly enqueues jobs one by one from callers goroutines. Each waits for its
// commit.
func (b *bench) enqueueSingly(ctx context.Context, queue string, jobs, callers int) (*Speed, error) {
	client, pool, err := b.client(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	return b.oneByOne(ctx, fmt.Sprintf("enqueueing from %d callers", callers), jobs, callers, func(ctx context.Context, n int) error {
		_, err := client.Enqueue(ctx, b.newJob(queue, n))
		return err
	})
}

// enqueueInTransactions commits jobs from writers goroutines, each job in a transaction
// of its own, as an application does that also writes its own rows.
func (b *bench) enqueueInTransactions(ctx context.Context, queue string, jobs, writers int) (*Speed, error) {
	client, pool, err := b.client(ctx, writers)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	return b.oneByOne(ctx, fmt.Sprintf("committing from %d writers", writers), jobs, writers, func(ctx context.Context, n int) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := client.InTx(tx).Enqueue(ctx, b.newJob(queue, n))
			return err
		})
	})
}

// oneByOne makes goroutines call enqueue with the numbers from 1 to jobs.
func (b *bench) oneByOne(
	ctx context.Context, stage string, jobs, goroutines int, enqueue func(ctx context.Context, n int) error,
) (*Speed, error) {
	var taken, enqueued atomic.Int64
	defer b.stage(stage, int64(jobs), enqueued.Load)()
	start := time.Now()
	err := together(ctx, goroutines, func(ctx context.Context) error {
		for n := taken.Add(1); n <= int64(jobs); n = taken.Add(1) {
			if err := enqueue(ctx, int(n)); err != nil {
				return err
			}
			enqueued.Add(1)
		}
		return nil
	})
	return speed(int64(jobs), time.Since(start)), err
}

// together runs n of f and returns the first error, which cancels the others.
func together(ctx context.Context, n int, f func(context.Context) error) error {
	return allOf(ctx, slices.Repeat([]func(context.Context) error{f}, n)...)
}

// allOf runs all of f and returns the first error, which cancels the others.
func allOf(ctx context.Context, f ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, f := range f {
		all.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
