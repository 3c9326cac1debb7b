package deadletter_test

import (
	"context"
	"flag"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

var (
	entries = flag.Int("entries", 100_000, "BenchmarkARedriveBesideRunningWorkers: dead jobs to redrive")
	rate    = flag.Int("rate", 1000, "BenchmarkARedriveBesideRunningWorkers: jobs redriven per second")
	window  = flag.Duration("window", 2*time.Second, "BenchmarkARedriveBesideRunningWorkers: time of one measurement")
)

// BenchmarkARedriveBesideRunningWorkers measures how many jobs a second a worker of
// another queue claims and completes, alone and while a redrive of many entries is
// under way, in alternation, so that drift of the machine meets both; it reports
// the medians of both and of what the redrive cost in percent. The redriven jobs wait for
// their queue's own worker: their running is not the redrive's cost.
//
//	go test ./internal/tests/deadletter -run '^$' -bench ARedrive -benchtime 15x -entries 1000000
func BenchmarkARedriveBesideRunningWorkers(b *testing.B) {
	f := newFixture(b)
	f.bury(b, *entries)
	var done atomic.Int64
	stop := f.work(b, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"live": {Concurrency: 100}}}, func(w *penstock.Worker) {
		penstock.Handle(w, "live", "deploy", func(context.Context, *penstock.Job[struct{}]) error {
			done.Add(1)
			return nil
		})
	})
	feeding, enough := context.WithCancel(context.Background())
	fed := make(chan error, 1)
	go func() { fed <- f.feed(feeding, &done) }()
	defer func() {
		enough()
		require.NoError(b, <-fed)
		stop()
	}()

	measure := func() float64 {
		began, before := time.Now(), done.Load()
		time.Sleep(*window) // a rate is what a span of time holds
		return float64(done.Load()-before) / time.Since(began).Seconds()
	}
	id := f.start(b, penstock.RedriveRequest{Queue: "dead", Rate: *rate})
	_, err := f.client.DLQ.PauseRedrive(b.Context(), id)
	require.NoError(b, err)
	measure() // warm
	var alones, besides, costs, rates []float64
	for b.Loop() {
		alone := measure()
		_, err = f.client.DLQ.ResumeRedrive(b.Context(), id)
		require.NoError(b, err)
		before := f.redrive(b, id).Redriven
		require.Eventually(b, func() bool { return f.redrive(b, id).Redriven > before }, patience, 10*time.Millisecond, "all redriven: give it more -entries")
		before = f.redrive(b, id).Redriven
		beside := measure()
		rates = append(rates, float64(f.redrive(b, id).Redriven-before)/window.Seconds())
		_, err = f.client.DLQ.PauseRedrive(b.Context(), id)
		require.NoError(b, err)
		alones, besides, costs = append(alones, alone), append(besides, beside), append(costs, 100*(1-beside/alone))
	}
	b.ReportMetric(median(alones), "alone/s")
	b.ReportMetric(median(besides), "beside/s")
	b.ReportMetric(median(costs), "%cost")
	b.ReportMetric(median(rates), "redriven/s")
	b.ReportMetric(0, "ns/op")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// bury lays n jobs in the dead letter queue of queue dead, in batches.
func (f *fixture) bury(b *testing.B, n int) {
	b.Helper()
	const batch = 5000
	for range (n + batch - 1) / batch {
		f.exec(b, `SELECT penstock.enqueue_many('dead', array_fill('deploy'::text, ARRAY[5000]), array_fill('{"contract": "c1"}'::jsonb, ARRAY[5000]))`)
		f.exec(b, `SELECT count(*) FROM (SELECT array_agg(job_id ORDER BY job_id) AS ids, array_agg(attempt ORDER BY job_id) AS nths
			FROM penstock.claim('dead', $1, 5000)) c, LATERAL (SELECT * FROM penstock.finish('dead', c.ids, c.nths,
			array_fill('dead'::text, ARRAY[5000]), array_fill('Boom'::text, ARRAY[5000]), array_fill('it broke'::text, ARRAY[5000]))) f`, f.worker)
	}
	require.GreaterOrEqual(b, ask[int](b, f, "SELECT count(*) FROM penstock.dead_jobs"), n)
}

// feed keeps 5,000 to 10,000 jobs waiting in queue live.
func (f *fixture) feed(ctx context.Context, done *atomic.Int64) error {
	for given := int64(0); ctx.Err() == nil; {
		if given-done.Load() > 5000 {
			time.Sleep(time.Millisecond) // the worker's handlers are the event, and there are many
			continue
		}
		if _, err := f.Pool.Exec(context.WithoutCancel(ctx), `SELECT penstock.enqueue_many('live', array_fill('deploy'::text, ARRAY[5000]),
			array_fill('{}'::jsonb, ARRAY[5000]))`); err != nil {
			return err
		}
		given += 5000
	}
	return nil
}
