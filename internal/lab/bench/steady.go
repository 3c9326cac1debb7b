package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock"
)

var steadyScenario = Scenario{
	Name:  "steady",
	Short: "Enqueue and work at once",
	Long: `Enqueues and works at the same time, starting with an empty queue. With --rate, that
many jobs a second are enqueued, however many wait. Without it, as many as possible while
fewer than 20,000 wait, like an application that watches its backlog. They are enqueued
in bulk by one goroutine, or one by one by --callers. The backlog counts as growing if
more jobs wait at the end than at half time, by over 1% of those enqueued in between.
The rest is then worked off too. Before and after, SQL alone does the same for up to four
seconds: the ceiling.`,
	Usual: Load{Concurrency: 100, PayloadBytes: 100, Callers: []int{0}, Duration: 30 * time.Second, Rates: []int{0}},
	run:   (*bench).steady,
}

// backpressure is the backlog at which an enqueuer without a rate waits.
const backpressure = 20_000

func (b *bench) steady(ctx context.Context) error {
	for _, callers := range b.load.Callers {
		for _, rate := range b.load.Rates {
			var f throughput
			worked, err := betweenCeilings(func() (*Speed, error) {
				return b.steadyVerbs(ctx, "ceiling-steady", min(b.load.Duration, maxCeilingFor))
			}, func() (s *Speed, err error) {
				f, err = b.produceAndWork(ctx, fmt.Sprintf("steady-%d-%d", callers, rate), callers, rate)
				return speed(f.completed, f.took), err
			})
			if err != nil {
				return err
			}
			suffix := ""
			if callers > 0 {
				suffix += fmt.Sprintf(", %d callers", callers)
			}
			if rate > 0 {
				suffix += fmt.Sprintf(", asked %d/s", rate)
			}
			worked.Name = "worked" + suffix
			if len(b.report.Rows) == 0 {
				b.report.setHeadline(worked)
			}
			b.report.Rows = append(b.report.Rows, Row{Name: "enqueued meanwhile" + suffix, Speed: speed(f.enqueued, f.took)}, worked)
			b.report.addFinding("%s", f.backlog(suffix))
		}
	}
	b.report.addFinding("Each job has exactly one completed attempt.")
	return nil
}

// throughput is what went into and out of a queue during took.
type throughput struct {
	took                      time.Duration
	enqueued, completed       int64
	halfEnqueued, halfWaiting int64
}

// growth is by how much the backlog grew in the second half.
func (f throughput) growth() int64 { return f.enqueued - f.completed - f.halfWaiting }

func (f throughput) backlog(suffix string) string {
	verdict := "did not grow"
	if f.growth() > (f.enqueued-f.halfEnqueued)/100 {
		verdict = fmt.Sprintf("grew by %.0f jobs/s", float64(f.growth())/f.took.Seconds()*2)
	}
	return fmt.Sprintf("The backlog%s %s: %d jobs half-way, %d at the end.", suffix, verdict, f.halfWaiting, f.enqueued-f.completed)
}

// loadProducer enqueues while a benchWorker works.
type loadProducer struct {
	b        *bench
	client   *penstock.Client
	worker   *benchWorker
	queue    string
	rate     int // jobs a second; 0: as many as backpressure allows
	started  time.Time
	taken    atomic.Int64 // numbers given to jobs
	enqueued atomic.Int64
}

// produceAndWork enqueues and works for the load's duration, and then works off the
// rest.
func (b *bench) produceAndWork(ctx context.Context, queue string, callers, rate int) (f throughput, err error) {
	client, pool, err := b.client(ctx, 0)
	if err != nil {
		return f, err
	}
	defer pool.Close()
	c, err := b.startWorker(ctx, workerLoad{queue: queue, concurrency: b.load.Concurrency})
	if err != nil {
		return f, err
	}
	defer c.stop()
	p := &loadProducer{b: b, client: client, worker: c, queue: queue, rate: rate}
	if f, err = p.measure(ctx, callers); err != nil {
		return f, c.abort(err)
	}
	end := b.stage("working off the rest", p.enqueued.Load(), c.completed.Load)
	err = c.waitForTotal(ctx, p.enqueued.Load())
	end()
	if err != nil {
		return f, c.abort(err)
	}
	if err := c.drainAndWait(); err != nil {
		return f, err
	}
	return f, b.check(ctx, queue, p.enqueued.Load(), c.completed.Load())
}

// measure enqueues for the load's duration and counts both directions.
func (p *loadProducer) measure(ctx context.Context, callers int) (f throughput, err error) {
	duration := p.b.load.Duration
	defer p.b.stage("enqueueing and working", duration.Milliseconds(), nil)()
	within, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	p.started = time.Now()
	var counting sync.WaitGroup
	counting.Go(func() {
		if waitUntil(within, p.started.Add(duration/2)) {
			f.halfEnqueued = p.enqueued.Load()
			f.halfWaiting = f.halfEnqueued - p.worker.completed.Load()
		}
		<-within.Done()
		f.took, f.enqueued, f.completed = time.Since(p.started), p.enqueued.Load(), p.worker.completed.Load()
	})
	err = together(within, max(callers, 1), func(within context.Context) error {
		if callers > 0 {
			return p.singly(ctx, within)
		}
		return p.bulk(ctx, within)
	})
	cancel()
	counting.Wait()
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = nil // the expected end
	}
	return f, err
}

// bulk enqueues 1,000 jobs per call until within ends. It completes the last call, so
// that the count is exact.
func (p *loadProducer) bulk(ctx, within context.Context) error {
	for p.admitted(within) {
		n := int(p.taken.Add(bulkBatch)) - bulkBatch
		batch := make([]penstock.NewJob, bulkBatch)
		for i := range batch {
			batch[i] = p.b.newJob(p.queue, n+i)
		}
		if _, err := p.client.EnqueueMany(ctx, batch); err != nil {
			return err
		}
		p.enqueued.Add(bulkBatch)
	}
	return nil
}

// singly enqueues one job after another until within ends.
func (p *loadProducer) singly(ctx, within context.Context) error {
	for p.admitted(within) {
		if _, err := p.client.Enqueue(ctx, p.b.newJob(p.queue, int(p.taken.Add(1)))); err != nil {
			return err
		}
		p.enqueued.Add(1)
	}
	return nil
}

// admitted waits until the rate or the backlog permits more; false when within ended.
func (p *loadProducer) admitted(within context.Context) bool {
	if p.rate > 0 {
		due := p.started.Add(time.Duration(float64(p.taken.Load()) / float64(p.rate) * float64(time.Second)))
		return waitUntil(within, due)
	}
	for p.enqueued.Load()-p.worker.completed.Load() >= backpressure {
		select {
		case <-p.worker.more:
		case <-within.Done():
			return false
		}
	}
	return within.Err() == nil
}

// waitUntil is false when ctx ended first.
func waitUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
