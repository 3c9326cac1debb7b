package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

var workersScenario = Scenario{
	Name:  "workers",
	Short: "Four workers on one queue, against one",
	Long: `Works off the jobs with one worker, with four at once, with one again and with four
again, and counts the claims that brought nothing while there was work. The four are
workers of one process, each with connections of its own.`,
	Usual: Load{Jobs: 100_000, Concurrency: 100, PayloadBytes: 100},
	run:   (*bench).workers,
}

func (b *bench) workers(ctx context.Context) error {
	sum := map[int]float64{}
	var claims, empty int64
	for _, n := range []int{1, 4, 1, 4} {
		queue := b.fresh("workers")
		if _, err := b.enqueueBulk(ctx, queue, b.load.Jobs, 1, nil); err != nil {
			return err
		}
		row, crews, err := b.crews(ctx, queue, n)
		if err != nil {
			return err
		}
		b.report.Rows = append(b.report.Rows, row)
		sum[n] += row.JobsPerSecond
		for _, c := range crews {
			if n > 1 {
				claims, empty = claims+c.claims.Load(), empty+c.empty.Load()
			}
		}
	}
	b.report.headline(b.report.Rows[1])
	b.report.amount("four workers against one", 100*sum[4]/sum[1], "%")
	b.report.amount("claims of the four that were empty", 100*float64(empty)/float64(max(claims, 1)), "%")
	b.report.find("Each job has exactly one completed attempt.")
	return nil
}

// crews works the queue off with n workers.
func (b *bench) crews(ctx context.Context, queue string, n int) (row Row, crews []*crew, err error) {
	completed := func() (sum int64) {
		for _, c := range crews {
			sum += c.completed.Load()
		}
		return sum
	}
	defer func() {
		for _, c := range crews {
			if err != nil {
				err = c.abandon(err)
			}
		}
	}()
	var waiting atomic.Int64
	waiting.Store(int64(b.load.Jobs))
	start := time.Now()
	for range n {
		c, err := b.start(ctx, work{queue: queue, concurrency: b.load.Concurrency, waiting: &waiting})
		if err != nil {
			return row, crews, err
		}
		crews = append(crews, c)
	}
	row.Name = "one worker"
	if n > 1 {
		row.Name = fmt.Sprintf("%d workers", n)
	}
	jobs := int64(b.load.Jobs)
	end := b.stage("working with "+row.Name, jobs, completed)
	defer end()
	for completed() < jobs {
		if !waitUntil(ctx, time.Now().Add(time.Millisecond)) {
			return row, crews, context.Cause(ctx)
		}
	}
	row.Speed = speed(jobs, time.Since(start))
	end()
	for _, c := range crews {
		if err := c.dismiss(); err != nil {
			return row, crews, err
		}
	}
	return row, crews, b.check(ctx, queue, jobs, completed())
}
