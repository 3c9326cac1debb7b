package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

var notifyScenario = Scenario{
	Name:  "notify",
	Short: "What waking workers costs transactions that enqueue",
	Long: `Commits transactions with one enqueue each from --callers writers while a worker works
the queue: with the wake-up and without it (SkipNotify) alternately, an eighth of
--duration each, eight times. The result is the median of the pairs, because a machine
has slow moments. Postgres serializes the commits of transactions that notify, so
wake-ups must be rare.`,
	Usual: Load{PayloadBytes: 100, Concurrency: 100, Callers: []int{64}, Duration: 10 * time.Second},
	run:   (*bench).notify,
}

const (
	notifyTurns = 8
	// notifyWarmUp is not measured: connections open, and a worker needs half a second
	// to detect that it is kept busy.
	notifyWarmUp = time.Second
)

func (b *bench) notify(ctx context.Context) error {
	for _, writers := range b.load.Callers {
		left, err := alternate(notifyTurns, func(way int) (float64, error) {
			row, err := b.writers(ctx, b.freshQueue("notify"), writers, way == 0)
			b.report.Rows = append(b.report.Rows, row)
			return row.JobsPerSecond, err
		})
		if err != nil {
			return err
		}
		b.report.setHeadline(b.report.Rows[0])
		b.report.addAmount(fmt.Sprintf("what waking costs %d writers", writers), 100*(1-median(left)), "%")
		b.report.addFinding("The pairs: %.0f%% to %.0f%%.", 100*(1-left[len(left)-1]), 100*(1-left[0]))
	}
	b.report.addFinding("Each job has exactly one completed attempt.")
	return nil
}

// writers commits single-job transactions for one turn.
func (b *bench) writers(ctx context.Context, queue string, writers int, skip bool) (row Row, err error) {
	client, pool, err := b.client(ctx, writers)
	if err != nil {
		return row, err
	}
	defer pool.Close()
	c, err := b.startWorker(ctx, workerLoad{queue: queue, concurrency: b.load.Concurrency})
	if err != nil {
		return row, err
	}
	defer c.stop()
	row.Name = "waking workers"
	if skip {
		row.Name = "not waking them"
	}
	spell := b.load.Duration / notifyTurns
	end := b.stage("committing, "+row.Name, spell.Milliseconds(), nil)
	within, cancel := context.WithTimeout(ctx, notifyWarmUp+spell)
	defer cancel()
	var taken, committed, before atomic.Int64
	start := time.Now().Add(notifyWarmUp)
	defer time.AfterFunc(notifyWarmUp, func() { before.Store(committed.Load()) }).Stop()
	err = together(within, writers, func(within context.Context) error {
		for within.Err() == nil {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return err
			}
			job := b.newJob(queue, int(taken.Add(1)))
			job.SkipNotify = skip
			if _, err := client.InTx(tx).Enqueue(ctx, job); err != nil {
				return errors.Join(err, tx.Rollback(ctx))
			}
			if err := tx.Commit(ctx); err != nil {
				return err
			}
			committed.Add(1)
		}
		return nil
	})
	row.Speed = speed(committed.Load()-before.Load(), time.Since(start))
	row.Against = againstCommits
	end()
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = c.waitForTotal(ctx, committed.Load())
	}
	if err != nil {
		return row, c.abort(err)
	}
	if err := c.drainAndWait(); err != nil {
		return row, err
	}
	return row, b.check(ctx, queue, committed.Load(), c.completed.Load())
}
