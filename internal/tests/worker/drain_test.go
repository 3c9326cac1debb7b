package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestADrainReleasesWhatHasNotStartedAndAwaitsWhatRuns(t *testing.T) { // P1, P3
	t.Parallel()
	f := newFixture(t)
	entered := make(chan int64, 1)
	goOn, open := gate(t)
	jobs := noops(4000)
	jobs[2000].Name = "gate" // behind it others are leased ahead and wait for the one handler
	ids, err := f.client.EnqueueMany(t.Context(), jobs)
	require.NoError(t, err)
	worker := f.work(t, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 1}},
	}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "noop", noop)
		penstock.Handle(w, "q", "gate", func(ctx context.Context, job *penstock.Job[struct{}]) error {
			entered <- job.ID
			<-goOn
			return ctx.Err()
		})
	})
	at := await(t, "the gate", entered)
	require.Equal(t, ids[2000], at)
	until(t, "jobs leased ahead", func() bool {
		return ask[int](t, f, `SELECT count(*) FROM penstock.running WHERE job_id > $1`, at) > 0
	})
	stopped := make(chan struct{})
	go func() { worker.stop(); close(stopped) }()
	released := f.ended.await(t, "a release", 1, func(e penstock.EndEvent) bool { return e.Outcome == "released" })[0]
	require.Equal(t, penstock.Running, f.job(t, at).State, "it is waited for")
	open()
	await(t, "the end of the drain", stopped)

	require.Equal(t, "completed", f.end(t, at, 1).Outcome)
	info := f.job(t, released.JobID)
	require.Equal(t, penstock.Waiting, info.State, "due at once, for whoever claims next")
	require.Zero(t, info.Failures)
	require.Empty(t, f.started.which(func(e penstock.StartEvent) bool { return e.JobID > at }))
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.running`))
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.workers`))
	require.Equal(t, 1999, ask[int](t, f, `SELECT count(*) FROM penstock.pending`))
}

func TestADrainThatWaitedLongEnoughCancelsAndReleasesAtNoCost(t *testing.T) { // P3
	t.Parallel()
	f := newFixture(t)
	cause := make(chan error, 1)
	worker := f.work(t, penstock.WorkerConfig{ShutdownTimeout: 10 * time.Millisecond}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "long", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return ctx.Err()
		})
	})
	id := f.enqueue(t, penstock.NewJob{Name: "long", MaxAttempts: 1})
	f.started.await(t, "the start", 1, func(e penstock.StartEvent) bool { return e.JobID == id })
	worker.stop()
	require.ErrorIs(t, await(t, "the handler", cause), penstock.ErrShutdown)
	require.Equal(t, "released", f.end(t, id, 1).Outcome)
	info := f.job(t, id)
	require.Equal(t, penstock.Waiting, info.State)
	require.Zero(t, info.Failures)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) { penstock.Handle(w, "q", "long", noop) })
	require.Equal(t, 2, f.end(t, id, 2).Attempt)
	require.Equal(t, "released completed", f.outcomes(t, id))
}

func TestADrainGivesUpOnAHandlerThatIgnoresItsContext(t *testing.T) { // P1, P5
	t.Parallel()
	f := newFixture(t)
	gone := make(chan struct{})
	goOn, open := gate(t)
	worker := f.work(t, penstock.WorkerConfig{ShutdownTimeout: 10 * time.Millisecond}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deaf", func(context.Context, *penstock.Job[struct{}]) error {
			defer close(gone)
			<-goOn
			return nil
		})
	})
	id := f.enqueue(t, penstock.NewJob{Name: "deaf"})
	f.started.await(t, "the start", 1, func(e penstock.StartEvent) bool { return e.JobID == id })
	worker.stop() // returns although the handler does not
	info := f.job(t, id)
	require.Equal(t, penstock.Waiting, info.State)
	require.Equal(t, "released", f.outcomes(t, id))
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.workers`))
	open()
	await(t, "the leftover handler", gone)
	require.Equal(t, penstock.Waiting, f.job(t, id).State, "nobody hears of its end any more")
}

func TestAWorkerMayRunAgainAfterItsDrain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, err := penstock.NewWorker(f.client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"q": {}}, StopWhenDrained: true,
	})
	require.NoError(t, err)
	handleNoop(w)
	for range 3 {
		id := f.enqueue(t, penstock.NewJob{Name: "noop"})
		require.NoError(t, w.Run(t.Context()))
		require.Equal(t, penstock.Completed, f.job(t, id).State)
	}
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.workers`))
}
