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
	Long: `Works off --jobs with one worker and with four alternately, four times each, and counts
the claims that returned nothing while jobs waited. The result is the median of the
pairs. Each worker first works off a thousand jobs, and the queue is paused until all
workers are ready, so the time includes neither start nor planning. The four workers are
in one process, each with its own connections.`,
	Usual: Load{Jobs: 100_000, Concurrency: 100, PayloadBytes: 100},
	run:   (*bench).compareWorkers,
}

const workersTurns = 4

func (b *bench) compareWorkers(ctx context.Context) error {
	var claims, empty int64
	ratios, err := alternate(workersTurns, func(way int) (float64, error) {
		n := []int{1, 4}[way]
		row, workers, err := b.workersOnQueue(ctx, b.freshQueue("workers"), n)
		if err != nil {
			return 0, err
		}
		b.report.Rows = append(b.report.Rows, row)
		for _, c := range workers {
			if n > 1 {
				claims, empty = claims+c.claimsWithWork.Load(), empty+c.emptyClaims.Load()
			}
		}
		return row.JobsPerSecond, nil
	})
	if err != nil {
		return err
	}
	b.report.setHeadline(b.report.Rows[1])
	b.report.addAmount("four workers against one", 100*median(ratios), "%")
	b.report.addAmount("claims of the four that were empty", 100*float64(empty)/float64(max(claims, 1)), "%")
	b.report.addFinding("The pairs: %.0f%% to %.0f%%.", 100*ratios[0], 100*ratios[len(ratios)-1])
	b.report.addFinding("Each job has exactly one completed attempt.")
	return nil
}

// crews loads a queue and works it off with n workers.
func (b *bench) workersOnQueue(ctx context.Context, queue string, n int) (row Row, crews []*benchWorker, err error) {
	completed := func() (sum int64) {
		for _, c := range crews {
			sum += c.completed.Load()
		}
		return sum
	}
	defer func() {
		for _, c := range crews {
			if err != nil {
				err = c.abort(err)
			}
		}
	}()
	client, pool, err := b.client(ctx, 1)
	if err != nil {
		return row, crews, err
	}
	defer pool.Close()
	warm, jobs := int64(n*bulkBatch), int64(b.load.Jobs)
	if _, err := b.enqueueBulk(ctx, queue, int(warm), 1, nil); err != nil {
		return row, crews, err
	}
	var waiting atomic.Int64
	for range n {
		c, err := b.startWorker(ctx, workerLoad{queue: queue, concurrency: b.load.Concurrency, waiting: &waiting})
		if err != nil {
			return row, crews, err
		}
		crews = append(crews, c)
	}
	reach := func(total int64) error {
		for completed() < total {
			if !waitUntil(ctx, time.Now().Add(time.Millisecond)) {
				return context.Cause(ctx)
			}
		}
		return nil
	}
	if err := reach(warm); err != nil {
		return row, crews, err
	}
	if err := client.Queues.Pause(ctx, queue); err != nil {
		return row, crews, err
	}
	if _, err := b.enqueueBulk(ctx, queue, b.load.Jobs, 1, nil); err != nil {
		return row, crews, err
	}
	waiting.Store(jobs)
	start := time.Now()
	if err := client.Queues.Resume(ctx, queue); err != nil {
		return row, crews, err
	}
	row.Name = "one worker"
	if n > 1 {
		row.Name = fmt.Sprintf("%d workers", n)
	}
	end := b.stage("working with "+row.Name, jobs, completed)
	defer end()
	if err := reach(warm + jobs); err != nil {
		return row, crews, err
	}
	row.Speed = speed(jobs, time.Since(start))
	end()
	for _, c := range crews {
		if err := c.drainAndWait(); err != nil {
			return row, crews, err
		}
	}
	return row, crews, b.check(ctx, queue, warm+jobs, completed())
}
