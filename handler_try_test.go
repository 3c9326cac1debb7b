package penstock_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestRunDueRunsWhatIsDueAndNoMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, err := penstock.NewWorker(f.client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"b": {}, "a": {}}})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, w.Queues())
	for _, queue := range w.Queues() {
		penstock.Handle(w, queue, "n", func(context.Context, *penstock.Job[args]) error { return nil })
		for _, delay := range []time.Duration{0, 0, time.Hour} {
			_, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: queue, Name: "n", Delay: delay})
			require.NoError(t, err)
		}
	}
	ends, err := w.RunDue(t.Context(), 3)
	require.NoError(t, err)
	more, err := w.RunDue(t.Context(), 0)
	require.NoError(t, err)
	var queues []string
	for _, e := range append(ends, more...) {
		require.Equal(t, "completed", e.State)
		require.Equal(t, e, <-f.ended, "the hooks hear of it too")
		queues = append(queues, e.Queue)
	}
	require.Equal(t, []string{"a", "b", "a", "b"}, queues, "queues take turns")
	var left int
	require.NoError(t, f.Pool.QueryRow(t.Context(), `SELECT count(*) FROM penstock.workers`).Scan(&left))
	require.Zero(t, left, "the worker has left")
}

func TestRunDueReleasesItsJobWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, err := penstock.NewWorker(f.client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {}}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	penstock.Handle(w, "q", "n", func(ctx context.Context, _ *penstock.Job[args]) error {
		cancel()
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), penstock.ErrShutdown)
		return ctx.Err()
	})
	id, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "n"})
	require.NoError(t, err)
	ends, err := w.RunDue(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, ends, 1)
	require.Equal(t, []string{"released", "waiting"}, []string{ends[0].Outcome, ends[0].State})
	info, err := f.client.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, penstock.Waiting, info.State)
	require.Zero(t, info.Failures)
}

func TestRunDueSeesACancelOfTheJobItRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, err := penstock.NewWorker(f.client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {}}})
	require.NoError(t, err)
	penstock.Handle(w, "q", "n", func(ctx context.Context, job *penstock.Job[args]) error {
		word, err := f.client.Cancel(ctx, job.ID)
		require.NoError(t, err)
		require.Equal(t, penstock.CancelAsked, word)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	_, err = f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "n"})
	require.NoError(t, err)
	ends, err := w.RunDue(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, "cancelled", ends[0].State)
}

func TestAJobMadeByHandCannotCompleteItself(t *testing.T) {
	t.Parallel()
	require.EqualError(t, (&penstock.Job[args]{}).CompleteTx(t.Context(), nil), "penstock: CompleteTx needs the job a handler was given")
}

func TestTryRefusesWhatEnqueueWould(t *testing.T) {
	t.Parallel()
	_, err := penstock.Try(t.Context(), func(context.Context, *penstock.Job[json.RawMessage]) error {
		return errors.New("never called")
	}, penstock.Job[json.RawMessage]{Data: json.RawMessage(`"\u0000"`)})
	require.ErrorIs(t, err, penstock.ErrInvalidArgument)
}
