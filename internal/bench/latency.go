package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

var latencyScenario = Scenario{
	Name:  "latency",
	Short: "How soon an idle worker picks a job up",
	Long: `Enqueues jobs at random moments, as many a second as --rate says on average, and times
each from Enqueue's return to the first line of its handler. The worker has the library's
default settings, and another client enqueues than the worker's own, as another process
would: only Postgres tells the worker. A last row, at the last rate, uses the worker's
own client, which wakes it directly. The figures of the whole are those of the row with
the highest p99 but that one.`,
	Usual: Load{PayloadBytes: 100, Duration: 15 * time.Second, Rates: []int{2, 20, 100, 300}},
	run:   (*bench).latency,
}

func (b *bench) latency(ctx context.Context) error {
	for _, rate := range b.load.Rates {
		row, err := b.pickup(ctx, rate, false)
		if err != nil {
			return err
		}
		b.report.Rows = append(b.report.Rows, row)
		if b.report.Latency == nil || row.P99 > b.report.P99 {
			b.report.headline(row)
		}
	}
	row, err := b.pickup(ctx, b.load.Rates[len(b.load.Rates)-1], true)
	if err != nil {
		return err
	}
	b.report.Rows = append(b.report.Rows, row)
	b.report.find("From Enqueue's return to the handler's first line, worker and enqueuer on clients of their own but in the last row.")
	b.report.find("Each job has exactly one completed attempt.")
	return nil
}

// pickups has both ends of every job's way, by number, in nanoseconds since the start;
// each is written once, by whoever was there.
type pickups struct {
	start             time.Time
	returned, started []atomic.Int64
}

func (p *pickups) now() int64 { return int64(time.Since(p.start)) + 1 } // 0 means not yet

// warmUp is how many jobs go before those that count.
const warmUp = 5

// pickup measures one rate. own says that the enqueuing client is the worker's.
func (b *bench) pickup(ctx context.Context, rate int, own bool) (row Row, err error) {
	client, closePool, err := b.client(ctx)
	if err != nil {
		return row, err
	}
	defer closePool()
	moments := schedule(rate, b.load.Duration)
	total := int64(warmUp + len(moments))
	p := &pickups{start: time.Now(), returned: make([]atomic.Int64, total), started: make([]atomic.Int64, total)}
	queue, name := fmt.Sprintf("latency-%d", rate), fmt.Sprintf("%d jobs/s", rate)
	if own {
		queue, name = queue+"-own", name+", the worker's own client"
	}
	c, err := b.start(ctx, work{queue: queue, target: total, handle: func(job payload) { p.started[job.N].Store(p.now()) }})
	if err != nil {
		return row, err
	}
	defer c.stop()
	if own {
		client = c.client
	}
	end := b.stage("enqueueing "+name, total, c.completed.Load)
	defer end()
	enqueue := func(n int) error {
		_, err := client.Enqueue(ctx, b.newJob(queue, n))
		p.returned[n].Store(p.now())
		return err
	}
	if err := onSchedule(ctx, c, moments, enqueue); err != nil {
		return row, c.abandon(err)
	}
	if _, err := c.await(ctx); err != nil {
		return row, c.abandon(err)
	}
	end()
	if err := c.dismiss(); err != nil {
		return row, err
	}
	distribution := newTimes()
	for n := warmUp; n < int(total); n++ {
		distribution.record(time.Duration(p.started[n].Load() - p.returned[n].Load()))
	}
	return Row{Name: name, Latency: distribution.latency()}, b.check(ctx, queue, total, c.completed.Load())
}

// schedule has the moments at which jobs are enqueued: random and independent, so
// that every distance between two occurs, and the same in each run.
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

// onSchedule enqueues the warm-up's jobs one after another, each when the one before
// is done, and the others at their moments, whether or not earlier calls have returned.
func onSchedule(ctx context.Context, c *crew, moments []time.Duration, enqueue func(n int) error) error {
	for n := range warmUp {
		if err := enqueue(n); err != nil {
			return err
		}
		if err := c.awaitTotal(ctx, int64(n+1)); err != nil {
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
