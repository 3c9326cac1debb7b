package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock"
)

var latencyScenario = Scenario{
	Name:  "latency",
	Short: "How soon an idle worker picks a job up",
	Long: `Enqueues jobs at random moments, --rate a second on average, and measures the time from
Enqueue's return to the first line of the handler. The worker has the default settings.
The enqueuing client is not the worker's, as in another process, so only Postgres can
wake the worker. Further rows: pairs of jobs 5, 20 and 50 ms apart, then a fifth of a
second of silence; scheduled jobs, from run_at to their start, by the clock that worker
and server share; and the last rate with the worker's own client, which wakes it
directly. The headline is the row with the highest p99, except the last.`,
	Usual: Load{PayloadBytes: 100, Duration: 15 * time.Second, Rates: []int{2, 20, 100, 300}},
	run:   (*bench).latency,
}

func (b *bench) latency(ctx context.Context) error {
	kinds := []pickupKind{}
	for _, rate := range b.load.Rates {
		kinds = append(kinds, pickupKind{name: fmt.Sprintf("%d jobs/s", rate), moments: schedule(rate, b.load.Duration)})
	}
	last := kinds[len(kinds)-1]
	for _, gap := range []time.Duration{5, 20, 50} {
		kinds = append(kinds, pickupKind{
			name: fmt.Sprintf("two jobs, %d ms apart", gap), moments: pairs(gap*time.Millisecond, b.load.Duration),
		})
	}
	kinds = append(kinds, pickupKind{name: "scheduled, from run_at", moments: schedule(20, b.load.Duration), scheduled: true})
	for _, kind := range kinds {
		row, err := b.pickup(ctx, kind)
		if err != nil {
			return err
		}
		b.report.Rows = append(b.report.Rows, row)
		if b.report.Latency == nil || row.P99 > b.report.P99 {
			b.report.setHeadline(row)
		}
	}
	last.name, last.own = last.name+", the worker's own client", true
	row, err := b.pickup(ctx, last)
	if err != nil {
		return err
	}
	b.report.Rows = append(b.report.Rows, row)
	b.report.addFinding("From Enqueue's return, or run_at, to the handler's first line; worker and enqueuer on clients of their own but in the last row.")
	b.report.addFinding("Each job has exactly one completed attempt.")
	return nil
}

// pickupKind is the load of one row.
type pickupKind struct {
	name      string
	moments   []time.Duration // when jobs are enqueued
	scheduled bool            // due one or two seconds later; timed from then
	own       bool            // the enqueuing client is the worker's
}

// pickups holds the time of each job's enqueue and of its start, by number, in
// nanoseconds since the run's start. Each value is written once.
type pickups struct {
	start             time.Time
	returned, started []atomic.Int64
}

func (p *pickups) now() int64 { return int64(time.Since(p.start)) + 1 } // 0 means unset

// warmUp is how many jobs run before those that are measured.
const warmUp = 5

// pickup measures one kind.
func (b *bench) pickup(ctx context.Context, kind pickupKind) (row Row, err error) {
	client, pool, err := b.client(ctx, 0)
	if err != nil {
		return row, err
	}
	defer pool.Close()
	total := int64(warmUp + len(kind.moments))
	p := &pickups{start: time.Now(), returned: make([]atomic.Int64, total), started: make([]atomic.Int64, total)}
	queue := b.freshQueue("latency")
	c, err := b.startWorker(ctx, workerLoad{queue: queue, target: total, handle: func(job *penstock.Job[payload]) {
		now := p.now()
		p.started[job.Data.N].Store(now)
		if kind.scheduled {
			p.returned[job.Data.N].Store(now - int64(time.Since(job.RunAt)))
		}
	}})
	if err != nil {
		return row, err
	}
	defer c.stop()
	if kind.own {
		client = c.client
	}
	end := b.stage("enqueueing "+kind.name, total, c.completed.Load)
	defer end()
	enqueue := func(n int) error {
		job := b.newJob(queue, n)
		if kind.scheduled {
			if n >= warmUp {
				job.Delay = time.Second + time.Duration(n%1000)*time.Millisecond
			}
			_, err := client.Enqueue(ctx, job)
			return err
		}
		_, err := client.Enqueue(ctx, job)
		p.returned[n].Store(p.now())
		return err
	}
	if err := onSchedule(ctx, c, kind.moments, enqueue); err != nil {
		return row, c.abort(err)
	}
	if _, err := c.waitForTarget(ctx); err != nil {
		return row, c.abort(err)
	}
	end()
	if err := c.drainAndWait(); err != nil {
		return row, err
	}
	distribution := newTimes()
	for n := warmUp; n < int(total); n++ {
		distribution.record(time.Duration(p.started[n].Load() - p.returned[n].Load()))
	}
	return Row{Name: kind.name, Latency: distribution.latency()}, b.check(ctx, queue, total, c.completed.Load())
}

// pairs returns moments two by two: two jobs a gap apart, and the next two 200 ms
// later.
func pairs(gap, duration time.Duration) (moments []time.Duration) {
	for at := time.Duration(0); at < duration; at += gap + 200*time.Millisecond {
		moments = append(moments, at, at+gap)
	}
	return moments
}

// schedule returns random, independent moments, so that every distance occurs. They are
// the same in each run.
func schedule(rate int, duration time.Duration) (moments []time.Duration) {
	random := rand.New(rand.NewPCG(1, uint64(rate)))
	for at := time.Duration(0); ; {
		at += time.Duration(random.ExpFloat64() / float64(rate) * float64(time.Second))
		if at > duration && len(moments) > 0 {
			return moments
		}
		moments = append(moments, at)
	}
}

// onSchedule enqueues the warm-up jobs one after another, each when the previous is
// done. Then it enqueues the others at their moments, without waiting for earlier
// calls.
func onSchedule(ctx context.Context, c *benchWorker, moments []time.Duration, enqueue func(n int) error) error {
	for n := range warmUp {
		if err := enqueue(n); err != nil {
			return err
		}
		if err := c.waitForTotal(ctx, int64(n+1)); err != nil {
			return err
		}
	}
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var calls sync.WaitGroup
	start := time.Now()
	for i, at := range moments {
		if !waitUntil(within, start.Add(at)) {
			break
		}
		calls.Go(func() {
			if err := enqueue(warmUp + i); err != nil {
				cancel(err)
			}
		})
	}
	calls.Wait()
	return context.Cause(within)
}
