package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestAJobIsNotHandedToTheProcessThatStillRunsIt(t *testing.T) { // P4
	t.Parallel()
	f := newFixture(t)
	goOn, open := gate(t)
	const slots = 3
	f.work(t, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: slots}}}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "stuck", func(context.Context, *penstock.Job[struct{}]) error { <-goOn; return nil })
		penstock.Handle(w, "q", "noop", noop)
	})
	id := f.enqueue(t, penstock.NewJob{
		Name: "stuck", Timeout: 100 * time.Millisecond, MaxAttempts: 10,
		Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: 10 * time.Millisecond},
	})
	mine := func(e penstock.StartEvent) bool { return e.JobID == id }
	f.started.await(t, "the handler", 1, mine)
	for range slots { // as maintenance does half a minute after each deadline
		time.Sleep(time.Second)
		f.exec(t, `SELECT penstock.fail_overdue('100 milliseconds')`)
	}
	time.Sleep(time.Second)
	require.Len(t, f.started.which(mine), 1, "handlers of one job that never return, in one process")
	f.end(t, f.enqueue(t, penstock.NewJob{Name: "noop"}), 1)

	// Another process may have it.
	other := fixtureOn(t, f.DB)
	other.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) { penstock.Handle(w, "q", "stuck", noop) })
	require.Equal(t, "completed", other.end(t, id, 1).Outcome)
	open()
}
