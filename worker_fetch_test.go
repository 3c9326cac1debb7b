package penstock_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// awaitSleepers waits until n fetchers want to be notified.
func (f *fixture) awaitSleepers(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		asleep := -1
		err := f.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.mode = 'ShareLock'`).Scan(&asleep)
		return err == nil && asleep == n
	}, 30*time.Second, 10*time.Millisecond)
}

// Notifications make commits wait for each other, so a worker with no handler free asks
// for none, and hears again once it has one.
func TestASaturatedWorkerIsNotNotified(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	started, finish := make(chan struct{}), make(chan struct{})
	f.work(t, "q", penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 1}}}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "n", func(context.Context, *penstock.Job[json.RawMessage]) error {
			started <- struct{}{}
			<-finish
			return nil
		})
	})
	enqueue := func() {
		_, err := f.Pool.Exec(t.Context(), "SELECT penstock.enqueue('q', 'n')")
		require.NoError(t, err)
	}
	f.awaitSleepers(t, 1)
	enqueue()
	<-started
	f.awaitSleepers(t, 0)
	enqueue() // nobody is told
	finish <- struct{}{}
	<-started
	finish <- struct{}{}
	f.awaitSleepers(t, 1)
}

// While jobs keep it awake a worker polls anyway, and enqueuers that need not notify can
// commit together.
func TestAWorkerThatIsKeptAwakeIsNotNotified(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work(t, "q", penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "n", func(context.Context, *penstock.Job[json.RawMessage]) error { return nil })
	})
	f.awaitSleepers(t, 1)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, _ = f.Pool.Exec(ctx, "SELECT penstock.enqueue('q', 'n')")
		}
	}()
	f.awaitSleepers(t, 0)
	stop()
	<-done
	f.awaitSleepers(t, 1)
}

// A job that falls due after a claim began, before the worker has asked for how long it may
// sleep, is not slept over.
func TestAJobThatFallsDueBehindAClaimIsNotSleptOver(t *testing.T) {
	t.Parallel()
	d, h := testkit.New(t), newHeard()
	var armed, behind atomic.Bool
	hooks := h.hooks()
	hooks.Claimed = func(e penstock.ClaimEvent) {
		if e.Jobs == 0 && armed.CompareAndSwap(true, false) {
			_, err := d.Pool.Exec(t.Context(), "SELECT penstock.enqueue('q', 'n', notify => false)")
			behind.Store(err == nil)
		}
	}
	hooks.Woken = func(e penstock.WakeEvent) {
		if behind.Load() {
			hear[penstock.WakeEvent](h)(e)
		} else if e.Rested > 500*time.Millisecond { // fast asleep, and nothing will have it linger
			armed.Store(true)
		}
	}
	client, err := penstock.NewClient(d.Pool, penstock.Config{Hooks: hooks})
	require.NoError(t, err)
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {}}})
	require.NoError(t, err)
	penstock.Handle(worker, "q", "n", func(context.Context, *penstock.Job[json.RawMessage]) error { return nil })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	slept := first(t, h, func(penstock.WakeEvent) bool { return true })
	require.Less(t, slept.Rested, 500*time.Millisecond, "the poll of a second found it")
	stop()
	require.NoError(t, <-done)
}

// One job that kills workers must not take to the dead letter queue what was leased behind
// it: what a third loss would lay there is hardly leased ahead.
// With two handlers, one such job runs at a time: a third crash counts for it alone.
func TestAJobThatTwoWorkersDiedWithIsNotLeasedAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	exec := func(sql string, args ...any) {
		_, err := f.Pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec("SELECT penstock.enqueue_many('q', array_fill('slow'::text, ARRAY[100]), array_fill('1'::jsonb, ARRAY[100]))")
	for range 2 {
		var dead int64
		require.NoError(t, f.Pool.QueryRow(t.Context(), "SELECT penstock.register_worker('{q}')").Scan(&dead))
		exec("SELECT count(*) FROM penstock.claim('q', $1, 100)", dead)
		exec("SELECT penstock.bury(id, beat) FROM penstock.workers WHERE id = $1", dead)
	}
	// Enough short jobs before them that the worker leases hundreds ahead.
	exec(`SELECT penstock.enqueue_many('q', array_fill('quick'::text, ARRAY[5000]), array_fill('1'::jsonb, ARRAY[5000]),
		array_fill('{"priority": 9}'::jsonb, ARRAY[5000]))`)

	var completed atomic.Int64
	started, finish := make(chan struct{}, 100), make(chan struct{})
	f.work(t, "q", penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 2}}}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "quick", func(context.Context, *penstock.Job[int]) error {
			completed.Add(1)
			return nil
		})
		penstock.Handle(w, "q", "slow", func(context.Context, *penstock.Job[int]) error {
			started <- struct{}{}
			<-finish
			completed.Add(1)
			return nil
		})
	})
	<-started
	require.Eventually(t, func() bool {
		leased := -1
		err := f.Pool.QueryRow(t.Context(), "SELECT count(*) FROM penstock.running WHERE name = 'slow'").Scan(&leased)
		return err == nil && leased <= 2 // one runs, and one more may wait
	}, 30*time.Second, 10*time.Millisecond, "suspects stay leased that have not started")
	var suspect *int64
	require.NoError(t, f.Pool.QueryRow(t.Context(), "SELECT max(suspect_job) FROM penstock.workers").Scan(&suspect))
	require.NotNil(t, suspect, "the database knows which one runs")
	require.Empty(t, started, "no other such job starts next to it")
	close(finish)
	require.Eventually(t, func() bool { return completed.Load() == 5100 }, 60*time.Second, 10*time.Millisecond)
}
