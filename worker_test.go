package penstock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// fixture is a database, a client and the ends its workers report.
type fixture struct {
	*testkit.DB
	client *penstock.Client
	ended  chan penstock.EndEvent
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{DB: testkit.New(t), ended: make(chan penstock.EndEvent, 10_000)}
	client, err := penstock.NewClient(f.Pool, penstock.Config{
		Hooks: penstock.Hooks{Ended: func(e penstock.EndEvent) { f.ended <- e }},
	})
	require.NoError(t, err)
	f.client = client
	return f
}

// work runs a worker of one queue with the handlers that register adds, until
// the test or the returned stop ends it.
func (f *fixture) work(t *testing.T, queue string, cfg penstock.WorkerConfig, register func(*penstock.Worker)) (stop func()) {
	t.Helper()
	if cfg.Queues == nil {
		cfg.Queues = map[string]penstock.QueueConfig{queue: {}}
	}
	w, err := penstock.NewWorker(f.client, cfg)
	require.NoError(t, err)
	register(w)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once atomic.Bool
	stop = func() {
		if once.CompareAndSwap(false, true) {
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

func (f *fixture) nextEnd(t *testing.T) penstock.EndEvent {
	t.Helper()
	select {
	case e := <-f.ended:
		return e
	case <-time.After(30 * time.Second):
		require.FailNow(t, "no attempt ended within 30 s")
		return penstock.EndEvent{}
	}
}

type args struct {
	N int `json:"n"`
}

func TestEnqueuedJobRunsAndCompletes(t *testing.T) { // P1, P3
	t.Parallel()
	f := newFixture(t)
	got := make(chan penstock.Job[args], 1)
	f.work(t, "q", penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "add", func(ctx context.Context, job *penstock.Job[args]) error {
			got <- *job
			return penstock.Result(ctx, map[string]int{"sum": job.Data.N + 1})
		})
	})
	id, err := f.client.Enqueue(t.Context(), penstock.NewJob{
		Queue: "q", Name: "add", Data: args{41}, Priority: penstock.High, Tags: []string{"a"},
	})
	require.NoError(t, err)
	job := <-got
	require.Equal(t, id, job.ID)
	require.Equal(t, args{41}, job.Data)
	require.Equal(t, 10, job.Priority)
	require.Equal(t, 1, job.Attempt)
	require.Equal(t, penstock.EndEvent{
		Queue: "q", Name: "add", JobID: id, Attempt: 1, Outcome: "completed", State: "completed",
		Result: json.RawMessage(`{"sum":42}`),
	}, quiet(f.nextEnd(t)))
	info, err := f.client.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, penstock.Completed, info.State)
	require.JSONEq(t, `{"sum":42}`, string(info.Attempts[0].Result))
}

func quiet(e penstock.EndEvent) penstock.EndEvent {
	e.Ran, e.EndedAt, e.Context = 0, time.Time{}, nil
	return e
}

func TestManyJobsAllRunOnce(t *testing.T) { // P1, P4
	t.Parallel()
	f := newFixture(t)
	const n = 5000
	var runs atomic.Int64
	jobs := make([]penstock.NewJob, n)
	for i := range jobs {
		jobs[i] = penstock.NewJob{Queue: "q", Name: "noop", Data: args{i}}
	}
	ids, err := f.client.EnqueueMany(t.Context(), jobs)
	require.NoError(t, err)
	require.Len(t, ids, n)
	w, err := penstock.NewWorker(f.client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 50}}, StopWhenDrained: true,
	})
	require.NoError(t, err)
	penstock.Handle(w, "q", "noop", func(context.Context, *penstock.Job[args]) error { runs.Add(1); return nil })
	start := time.Now()
	require.NoError(t, w.Run(t.Context()))
	t.Logf("%d jobs in %v", n, time.Since(start))
	require.EqualValues(t, n, runs.Load())
	var attempts int
	require.NoError(t, f.Pool.QueryRow(t.Context(),
		`SELECT count(*) FROM penstock.attempts WHERE outcome = 'completed'`).Scan(&attempts))
	require.Equal(t, n, attempts)
}

func TestFailuresAreRetriedAndThenDie(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work(t, "q", penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "bad", func(_ context.Context, job *penstock.Job[args]) error {
			return fmt.Errorf("attempt %d: %w", job.Attempt, errors.New("no luck"))
		})
	})
	id, err := f.client.Enqueue(t.Context(), penstock.NewJob{
		Queue: "q", Name: "bad", MaxAttempts: 3,
		Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 10 * time.Millisecond},
	})
	require.NoError(t, err)
	states := map[int]string{} // told in any order: two flushers report
	for range 3 {
		e := f.nextEnd(t)
		states[e.Attempt] = e.State
	}
	require.Equal(t, map[int]string{1: "retrying", 2: "retrying", 3: "dead"}, states)
	page, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{Queue: "q"})
	require.NoError(t, err)
	dead := page.Items
	require.Len(t, dead, 1)
	require.Equal(t, id, dead[0].JobID)
	require.Equal(t, "exhausted", dead[0].Reason)
	require.Equal(t, 3, dead[0].Failures)
	require.Equal(t, "attempt 3: no luck", dead[0].Error)
	groups, err := f.client.DLQ.Groups(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, groups, 1)
}
