package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// worked is metrics after a workload in which everything that they show happened.
type worked struct {
	*Metrics
	client *penstock.Client
}

// work runs jobs of queue mail through a worker until each has ended: 20 completed at
// once, one at its second attempt, one laid in the DLQ, one snoozed first, one
// cancelled. In the end one job waits, one is scheduled, and the queue is paused. The
// worker runs on until the test ends.
func work(t *testing.T) worked {
	t.Helper()
	d := testkit.New(t)
	m := New("1.2.3")
	ends, beats := make(chan penstock.EndEvent, 100), make(chan penstock.BeatEvent, 1000)
	client, err := penstock.NewClient(d.Pool, penstock.Config{
		Hooks: m.Hooks().And(penstock.Hooks{
			Ended:  func(e penstock.EndEvent) { ends <- e },
			Beaten: func(e penstock.BeatEvent) { beats <- e },
		}),
	})
	require.NoError(t, err)
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"mail": {}}})
	require.NoError(t, err)
	m.WatchPool(d.Pool)
	m.WatchWorker(worker)
	m.WatchQueues(client)
	register(worker)

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	for range 20 {
		enqueue(t, client, penstock.NewJob{Name: "welcome"})
	}
	enqueue(t, client, penstock.NewJob{Name: "flaky", Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: time.Millisecond}})
	enqueue(t, client, penstock.NewJob{Name: "hopeless"})
	enqueue(t, client, penstock.NewJob{Name: "sleepy"})
	const all = 20 + 2 + 1 + 2
	for range all {
		await(t, "the end of an attempt", ends)
	}
	await(t, "a heartbeat", beats)
	_, err = client.Enqueue(t.Context(), penstock.NewJob{Queue: "mail", Name: "welcome", Priority: "nonsense"})
	require.Error(t, err)
	require.NoError(t, client.Queues.Pause(t.Context(), "mail"))
	enqueue(t, client, penstock.NewJob{Name: "welcome"})
	enqueue(t, client, penstock.NewJob{Name: "welcome", Delay: time.Hour})
	sampled(t, d)
	asked, err := client.Tasks.Run(t.Context(), "prune")
	require.NoError(t, err)
	_, err = client.Tasks.Wait(t.Context(), "prune", asked)
	require.NoError(t, err)
	return worked{m, client}
}

// sampled has the queues counted, which upkeep would do within ten seconds.
func sampled(t *testing.T, d *testkit.DB) {
	t.Helper()
	require.Eventually(t, func() bool { // the worker's own upkeep may be at it
		_, err := d.Pool.Exec(t.Context(), `UPDATE penstock.sampling SET next_look_at = '-infinity'`)
		require.NoError(t, err)
		_, err = d.Pool.Exec(t.Context(), `SELECT penstock.sample_metrics()`)
		require.NoError(t, err)
		var waiting int
		require.NoError(t, d.Pool.QueryRow(t.Context(),
			`SELECT coalesce(sum(waiting), 0) FROM penstock.queue_states WHERE queue = 'mail'`).Scan(&waiting))
		return waiting == 1
	}, 30*time.Second, 50*time.Millisecond)
}

func await[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		require.FailNow(t, "awaited in vain: "+what)
	}
}

func enqueue(t *testing.T, client *penstock.Client, job penstock.NewJob) {
	t.Helper()
	job.Queue = "mail"
	_, err := client.Enqueue(t.Context(), job)
	require.NoError(t, err)
}

func register(w *penstock.Worker) {
	handle := func(name string, fn func(job *penstock.Job[json.RawMessage]) error) {
		penstock.Handle(w, "mail", name, func(_ context.Context, job *penstock.Job[json.RawMessage]) error { return fn(job) })
	}
	handle("welcome", func(*penstock.Job[json.RawMessage]) error { return nil })
	handle("flaky", func(job *penstock.Job[json.RawMessage]) error {
		if job.Attempt == 1 {
			return errors.New("the server says no")
		}
		return nil
	})
	handle("hopeless", func(*penstock.Job[json.RawMessage]) error { return penstock.Dead(errors.New("no such address")) })
	handle("sleepy", func(job *penstock.Job[json.RawMessage]) error {
		if job.Attempt == 1 {
			return penstock.Snooze(time.Millisecond)
		}
		return nil
	})
}
