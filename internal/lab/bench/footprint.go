package bench

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock"
)

var memoryScenario = Scenario{
	Name:  "memory",
	Short: "Memory of a process whose worker runs many handlers at once",
	Long: `Starts a worker with room for --concurrency handlers on as many jobs, and reads the
memory of the process while all of them run. It counts the whole process, including the
Go runtime and the benchmark.`,
	Usual: Load{Concurrency: 10_000, PayloadBytes: 100},
	run:   (*bench).memory,
}

func (b *bench) memory(ctx context.Context) error {
	const queue = "memory"
	jobs := b.load.Concurrency
	if _, err := b.enqueueBulk(ctx, queue, jobs, 1, nil); err != nil {
		return err
	}
	debug.FreeOSMemory()
	before, err := residentBytes()
	if err != nil {
		return err
	}
	var running atomic.Int64
	all, release := make(chan struct{}), make(chan struct{})
	c, err := b.startWorker(ctx, workerLoad{queue: queue, concurrency: jobs, target: int64(jobs), handle: func(*penstock.Job[payload]) {
		if running.Add(1) == int64(jobs) {
			close(all)
		}
		<-release
	}})
	if err != nil {
		return err
	}
	defer c.stop()
	end := b.stage("starting handlers", int64(jobs), running.Load)
	select {
	case <-all:
		end()
	case <-ctx.Done():
		end()
		close(release)
		return c.abort(context.Cause(ctx))
	}
	during, err := residentBytes()
	close(release)
	if err != nil {
		return c.abort(err)
	}
	if _, err := c.waitForTarget(ctx); err != nil {
		return c.abort(err)
	}
	if err := c.drainAndWait(); err != nil {
		return err
	}
	const mib = 1 << 20
	b.report.addAmount(fmt.Sprintf("the process, %d handlers running", jobs), float64(during)/mib, "MiB")
	b.report.addAmount("the same before the worker started", float64(before)/mib, "MiB")
	b.report.addFinding("Each handler took %.1f KiB.", float64(during-before)/1024/float64(jobs))
	return b.check(ctx, queue, int64(jobs), c.completed.Load())
}

var idleScenario = Scenario{
	Name:  "idle",
	Short: "What a worker costs whose queues are empty",
	Long: `Runs a worker on 50 empty queues for --duration, after two seconds of warm-up, and
reads the processor time of the process and the number of transactions on the server.`,
	Usual: Load{PayloadBytes: 100, Duration: 10 * time.Second},
	run:   (*bench).idle,
}

const idleQueues = 50

func (b *bench) idle(ctx context.Context) error {
	var queues []string
	for i := range idleQueues {
		queues = append(queues, fmt.Sprintf("idle-%d", i))
	}
	c, err := b.startWorker(ctx, workerLoad{queue: queues[0], otherQueues: queues[1:]})
	if err != nil {
		return err
	}
	defer c.stop()
	defer b.stage("watching an idle worker", (idleWarmUp + b.load.Duration).Milliseconds(), nil)()
	waitUntil(ctx, time.Now().Add(idleWarmUp))
	start := time.Now()
	cpu, err := processorTime()
	if err != nil {
		return c.abort(err)
	}
	transactions, err := b.transactions(ctx)
	if err != nil {
		return c.abort(err)
	}
	if !waitUntil(ctx, start.Add(b.load.Duration)) {
		return c.abort(context.Cause(ctx))
	}
	cpuAfter, _ := processorTime()
	after, err := b.transactions(ctx)
	if err != nil {
		return c.abort(err)
	}
	took := time.Since(start).Seconds()
	b.report.addAmount(fmt.Sprintf("the process, %d idle queues", idleQueues), 100*(cpuAfter-cpu).Seconds()/took, "% of a core")
	b.report.addAmount("the server's transactions", float64(after-transactions)/took, "a second")
	return c.drainAndWait()
}

// transactions returns how many transactions of this database have ended. Backends
// report them about once a second.
func (b *bench) transactions(ctx context.Context) (n int64, err error) {
	err = b.pool.QueryRow(ctx, `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
	if err != nil {
		err = fmt.Errorf("count transactions: %w", err)
	}
	return n, err
}
