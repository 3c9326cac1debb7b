package worker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// fallback is how often a sleeping fetcher looks although nobody called it.
const fallback = time.Second

// sleeper is the backend that listens for a queue's fetcher, 0 while it is awake.
func sleeper(t *testing.T, f *fixture) int {
	t.Helper()
	return ask[int](t, f, `SELECT coalesce(min(l.pid), 0) FROM pg_locks l
		JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
		WHERE l.locktype = 'advisory' AND l.classid = x'70656e73'::integer AND l.mode = 'ShareLock' AND l.granted`)
}

// fastAsleep waits until the fetcher has just looked, found nothing, and will not
// look again of itself for nearly a second.
func (f *fixture) fastAsleep(t *testing.T) {
	t.Helper()
	var last time.Time
	seen := len(f.claimed.which(func(claim) bool { return true }))
	late := time.After(patience)
	for {
		all := f.claimed.await(t, "the fetcher's looks", seen+1, func(claim) bool { return true })
		seen = len(all)
		now := all[seen-1]
		if now.Err == nil && now.Jobs == 0 && !last.IsZero() && now.at.Sub(last) > fallback/2 && sleeper(t, f) != 0 {
			return
		}
		last = now.at
		select {
		case <-late:
			require.FailNow(t, "the fetcher does not fall asleep")
		default:
		}
	}
}

// pickups enqueues n jobs, each by plain SQL on a connection that knows nothing of
// the worker, each while the fetcher is fast asleep, and returns the median time
// from the commit to the handler.
func (f *fixture) pickups(t *testing.T, n int, sql string) time.Duration {
	t.Helper()
	waits := make([]time.Duration, n)
	for i := range waits {
		f.fastAsleep(t)
		id := ask[int64](t, f, sql)
		committed := time.Now()
		f.started.await(t, "the pickup", 1, func(e penstock.StartEvent) bool { return e.JobID == id })
		waits[i] = time.Since(committed)
		f.end(t, id, 1)
	}
	t.Logf("from the commit to the handler: %v", waits)
	slices.Sort(waits)
	return waits[n/2]
}

func TestASleepingWorkerIsWokenByPlainSQL(t *testing.T) { // P3
	t.Parallel()
	f := newFixture(t)
	f.work(t, penstock.WorkerConfig{}, handleNoop)
	// Each starts just after a look of its own accord, so without a call it would
	// take until the next one.
	called := f.pickups(t, 7, `SELECT penstock.enqueue('q', 'noop')`)
	uncalled := f.pickups(t, 3, `SELECT penstock.enqueue('q', 'noop', notify => false)`)
	require.Less(t, called, fallback/2)
	require.Greater(t, uncalled, fallback/2, "the fallback finds it, but only then")
}

func TestAWorkerWhoseListenerIsCutOffPollsAndListensAgain(t *testing.T) { // P3, P13
	t.Parallel()
	f := newFixture(t)
	worker := f.work(t, penstock.WorkerConfig{}, handleNoop)
	f.fastAsleep(t)
	id := worker.ID()
	for range 3 {
		listener := sleeper(t, f)
		require.NotZero(t, listener)
		require.True(t, ask[bool](t, f, `SELECT pg_terminate_backend($1, 5000)`, listener))
		job := ask[int64](t, f, `SELECT penstock.enqueue('q', 'noop')`)
		require.Equal(t, "completed", f.end(t, job, 1).Outcome)
		f.fastAsleep(t)
		require.NotEqual(t, listener, sleeper(t, f))
	}
	require.Less(t, f.pickups(t, 3, `SELECT penstock.enqueue('q', 'noop')`), fallback/2)
	require.Equal(t, id, worker.ID())
}

func TestAWorkerWhoseEveryConnectionIsCutOffGoesOn(t *testing.T) { // P3, P8, P13
	t.Parallel()
	f := newFixture(t)
	worker := f.work(t, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 4}}}, handleNoop)
	f.end(t, f.enqueue(t, penstock.NewJob{Name: "noop"}), 1)
	id := worker.ID()
	const rounds, batch = 5, 400
	for round := range rounds {
		_, err := f.client.EnqueueMany(context.Background(), noops(batch))
		require.NoError(t, err)
		f.ended.await(t, "half of them", 1+round*batch+batch/2, func(penstock.EndEvent) bool { return true })
		f.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		f.ended.await(t, "all of them", 1+(round+1)*batch, func(e penstock.EndEvent) bool { return e.State == "completed" })
	}
	require.Equal(t, id, worker.ID(), "it is who it was")
	until(t, "all jobs done", func() bool {
		return ask[int](t, f, `SELECT (SELECT count(*) FROM penstock.pending) + (SELECT count(*) FROM penstock.running)`) == 0
	})
	f.finished(t, 1+rounds*batch)
}
