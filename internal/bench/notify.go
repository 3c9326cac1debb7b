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
	Long: `Commits transactions with one enqueue each from --callers writers at once, while a worker
works the queue: with the wake-up, without it (SkipNotify), and both again. Postgres lets
transactions that notify commit one after another, so waking is to be rare.`,
	Usual: Load{PayloadBytes: 100, Concurrency: 100, Callers: []int{64}, Duration: 5 * time.Second},
	run:   (*bench).notify,
}

func (b *bench) notify(ctx context.Context) error {
	for _, writers := range b.load.Callers {
		with, without := 0.0, 0.0
		for range 2 {
			for _, skip := range []bool{false, true} {
				row, err := b.writers(ctx, b.fresh("notify"), writers, skip)
				if err != nil {
					return err
				}
				b.report.Rows = append(b.report.Rows, row)
				if skip {
					without += row.JobsPerSecond
				} else {
					with += row.JobsPerSecond
				}
			}
		}
		b.report.headline(b.report.Rows[0])
		b.report.amount(fmt.Sprintf("what waking costs %d writers", writers), 100*(1-with/without), "%")
	}
	b.report.find("Each job has exactly one completed attempt.")
	return nil
}

// writers commits transactions of one enqueue for the load's duration.
func (b *bench) writers(ctx context.Context, queue string, writers int, skip bool) (row Row, err error) {
	client, pool, err := b.client(ctx, writers)
	if err != nil {
		return row, err
	}
	defer pool.Close()
	c, err := b.start(ctx, work{queue: queue, concurrency: b.load.Concurrency})
	if err != nil {
		return row, err
	}
	defer c.stop()
	row.Name = "waking workers"
	if skip {
		row.Name = "not waking them"
	}
	end := b.stage("committing, "+row.Name, b.load.Duration.Milliseconds(), nil)
	within, cancel := context.WithTimeout(ctx, b.load.Duration)
	defer cancel()
	var taken, committed atomic.Int64
	start := time.Now()
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
	row.Speed = speed(committed.Load(), time.Since(start))
	row.Against = againstCommits
	end()
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = c.awaitTotal(ctx, committed.Load())
	}
	if err != nil {
		return row, c.abandon(err)
	}
	if err := c.dismiss(); err != nil {
		return row, err
	}
	return row, b.check(ctx, queue, committed.Load(), c.completed.Load())
}
