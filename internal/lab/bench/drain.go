package bench

import (
	"context"
	"fmt"
	"time"
)

var drainScenario = Scenario{
	Name:  "drain",
	Short: "Work off waiting jobs with one worker",
	Long: `Enqueues the jobs in bulk; then one worker works them off and stops. The time runs from
the worker's start, before it has a connection, until Postgres has recorded the last
end. The handlers decode their data and do nothing. Before and after, SQL alone works
off half as many jobs: the ceiling.`,
	Usual: Load{Jobs: 200_000, Concurrency: 100, PayloadBytes: 100},
	run:   (*bench).drain,
}

func (b *bench) drain(ctx context.Context) error {
	const queue = "drain"
	var bulk *Speed
	var wal, cpu float64
	row, err := betweenCeilings(func() (*Speed, error) {
		return b.drainVerbs(ctx, "ceiling-"+queue, max(1, b.load.Jobs/2))
	}, func() (drained *Speed, err error) {
		before, err := b.walPosition(ctx)
		if err != nil {
			return nil, err
		}
		if bulk, err = b.enqueueBulk(ctx, queue, b.load.Jobs, 1, nil); err != nil {
			return nil, err
		}
		used, _ := processorTime()
		if drained, err = b.drainQueue(ctx, queue, int64(b.load.Jobs)); err != nil {
			return nil, err
		}
		usedAfter, _ := processorTime()
		cpu = float64((usedAfter - used).Nanoseconds()) / 1000 / float64(b.load.Jobs)
		after, err := b.walPosition(ctx)
		wal = float64(after-before) / float64(b.load.Jobs)
		return drained, err
	})
	if err != nil {
		return err
	}
	row.Name, row.WALBytes = queue, wal
	b.report.setHeadline(row)
	b.report.Rows = []Row{row, {Name: "bulk enqueue before it", Speed: bulk}}
	if cpu > 0 { // zero where the system does not report it
		b.report.addFinding("Working off took %.1f µs of this process's processor time a job, its data's decoding included.", cpu)
	}
	b.report.addFinding("A job writes %.0f bytes of WAL from its enqueue to its end.", wal)
	b.report.addFinding("Each of the %d jobs has exactly one completed attempt.", b.load.Jobs)
	return nil
}

// walPosition returns how many bytes of WAL the server has ever written.
func (b *bench) walPosition(ctx context.Context) (bytes int64, err error) {
	err = b.pool.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&bytes)
	if err != nil {
		err = fmt.Errorf("read the position in the WAL: %w", err)
	}
	return bytes, err
}

// drainQueue works off the waiting jobs and checks that all completed.
func (b *bench) drainQueue(ctx context.Context, queue string, jobs int64) (*Speed, error) {
	start := time.Now()
	c, err := b.startWorker(ctx, workerLoad{queue: queue, concurrency: b.load.Concurrency, target: jobs, untilEmpty: true})
	if err != nil {
		return nil, err
	}
	defer c.stop()
	end := b.stage("draining", jobs, c.completed.Load)
	last, err := c.waitForTarget(ctx)
	end()
	if err != nil {
		return nil, c.abort(err)
	}
	if err := <-c.result; err != nil { // it stopped by itself: no job is left
		return nil, err
	}
	return speed(jobs, last.Sub(start)), b.check(ctx, queue, jobs, c.completed.Load())
}
