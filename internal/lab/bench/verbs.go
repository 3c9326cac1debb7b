package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// The ceiling: the same SQL functions that the library calls, called by a loop without
// the library. The loop prepares its arguments once, reads only the ids, and keeps the
// server as busy as it can. A scenario's figure divided by its ceiling shows the cost
// of the library.

const (
	verbWorkers = 2 // connections that claim and finish; more are slower on two cores
	verbClaim   = 1000
)

// enqueueVerb calls enqueue_many on so many connections, batch jobs per call and
// commit, until jobs are enqueued.
func (b *bench) enqueueVerb(ctx context.Context, queue string, jobs, connections, batch int) (*Speed, error) {
	var enqueued, taken atomic.Int64
	defer b.stage("enqueueing by SQL alone", int64(jobs), enqueued.Load)()
	call := b.bulkCall(queue, batch)
	start := time.Now()
	err := b.onConnections(ctx, connections, func(ctx context.Context, conn *pgx.Conn) error {
		for {
			n := min(batch, jobs-(int(taken.Add(int64(batch)))-batch))
			if n <= 0 {
				return nil
			}
			if err := call.send(ctx, conn, n); err != nil {
				return err
			}
			enqueued.Add(int64(n))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("enqueue by SQL alone: %w", err)
	}
	return speed(int64(jobs), time.Since(start)), nil
}

// bulkCall holds the arguments of enqueue_many.
type bulkCall struct {
	queue string
	names []string
	data  []json.RawMessage
}

func (b *bench) bulkCall(queue string, batch int) bulkCall {
	c := bulkCall{queue, make([]string, batch), make([]json.RawMessage, batch)}
	for i := range batch {
		c.names[i], c.data[i] = jobName, newPayload(i, b.load.PayloadBytes).json()
	}
	return c
}

// send enqueues the first n of the jobs.
func (c *bulkCall) send(ctx context.Context, conn *pgx.Conn, n int) error {
	_, err := conn.Exec(ctx, "SELECT penstock.enqueue_many($1::text, $2::text[], $3::jsonb[])", c.queue, c.names[:n], c.data[:n])
	return err
}

// workVerbs claims and finishes on two connections until a claim returns nothing and
// done is true. completed counts the ends. The end of the last batch and the next claim
// share a round trip and a commit.
func (b *bench) workVerbs(ctx context.Context, queue string, completed *atomic.Int64, done func() bool) error {
	err := b.onConnections(ctx, verbWorkers, func(ctx context.Context, conn *pgx.Conn) error {
		var worker int64
		if err := conn.QueryRow(ctx, "SELECT penstock.register_worker(ARRAY[$1::text])", queue).Scan(&worker); err != nil {
			return err
		}
		var held leased
		for {
			next, err := finishAndClaim(ctx, conn, queue, worker, held)
			if err != nil {
				return err
			}
			completed.Add(int64(len(held.ids)))
			held = next
			if len(held.ids) == 0 && done() {
				_, err := conn.Exec(ctx, "SELECT penstock.deregister_worker($1)", worker)
				return err
			}
			if len(held.ids) < verbClaim/2 { // a small claim costs nearly what a large one does
				waitUntil(ctx, time.Now().Add(2*time.Millisecond))
			}
		}
	})
	if err != nil {
		return fmt.Errorf("work by SQL alone: %w", err)
	}
	return nil
}

// leased is the result of a claim.
type leased struct {
	ids      []int64
	attempts []int32
}

// finishAndClaim completes what was claimed last and claims the next.
func finishAndClaim(ctx context.Context, conn *pgx.Conn, queue string, worker int64, held leased) (next leased, err error) {
	batch := &pgx.Batch{}
	if len(held.ids) > 0 {
		batch.Queue("SELECT status FROM penstock.complete_many($1::text, $2::bigint[], $3::integer[])", queue, held.ids, held.attempts)
	}
	batch.Queue("SELECT job_id, attempt, data FROM penstock.claim($1::text, $2::bigint, $3::integer)", queue, worker, verbClaim).
		Query(func(rows pgx.Rows) error {
			var id int64
			var attempt int32
			for rows.Next() {
				if err := rows.Scan(&id, &attempt, nil); err != nil {
					return err
				}
				next.ids, next.attempts = append(next.ids, id), append(next.attempts, attempt)
			}
			return rows.Err()
		})
	return next, conn.SendBatch(ctx, batch).Close()
}

// drainVerbs enqueues jobs and works them off, by SQL alone.
func (b *bench) drainVerbs(ctx context.Context, queue string, jobs int) (*Speed, error) {
	queue = b.freshQueue(queue)
	if _, err := b.enqueueVerb(ctx, queue, jobs, 1, bulkBatch); err != nil {
		return nil, err
	}
	var completed atomic.Int64
	end := b.stage("draining by SQL alone", int64(jobs), completed.Load)
	start := time.Now()
	err := b.workVerbs(ctx, queue, &completed, func() bool { return true })
	took := time.Since(start)
	end() // one stage at a time: counting the rows is the next
	if err != nil {
		return nil, err
	}
	return speed(int64(jobs), took), b.check(ctx, queue, int64(jobs), completed.Load())
}

// steadyVerbs enqueues from one connection and works from two for a duration.
func (b *bench) steadyVerbs(ctx context.Context, queue string, duration time.Duration) (*Speed, error) {
	queue = b.freshQueue(queue)
	end := b.stage("enqueueing and working by SQL alone", duration.Milliseconds(), nil)
	defer end()
	var enqueued, completed atomic.Int64
	var within int64 // completed when the time was up
	call := b.bulkCall(queue, bulkBatch)
	start := time.Now()
	over := func() bool { return time.Since(start) >= duration }
	produce := func(ctx context.Context, conn *pgx.Conn) error {
		for !over() && ctx.Err() == nil {
			if enqueued.Load()-completed.Load() >= backpressure {
				waitUntil(ctx, time.Now().Add(time.Millisecond))
				continue
			}
			if err := call.send(ctx, conn, bulkBatch); err != nil {
				return err
			}
			enqueued.Add(bulkBatch)
		}
		within = completed.Load()
		return nil
	}
	err := allOf(ctx, func(ctx context.Context) error {
		return b.onConnections(ctx, 1, produce)
	}, func(ctx context.Context) error {
		return b.workVerbs(ctx, queue, &completed, func() bool { return over() && completed.Load() >= enqueued.Load() })
	})
	if err != nil {
		return nil, err
	}
	end()
	return speed(within, duration), b.check(ctx, queue, enqueued.Load(), completed.Load())
}

// freshQueue returns a queue name that this run has not used yet.
func (b *bench) freshQueue(queue string) string {
	b.queues++
	return fmt.Sprintf("%s-%d", queue, b.queues)
}

// onConnections runs n of f at once, each on a connection of its own.
func (b *bench) onConnections(ctx context.Context, n int, f func(context.Context, *pgx.Conn) error) error {
	return together(ctx, n, func(ctx context.Context) error {
		conn, err := pgx.ConnectConfig(ctx, b.config.ConnConfig.Copy())
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		return f(ctx, conn)
	})
}
