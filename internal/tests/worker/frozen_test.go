//go:build unix

package worker_test

import (
	"context"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestAFrozenWorkersCompletionsAreRefusedAndItGoesOnAsAnother(t *testing.T) { // P4, P5, P12
	t.Parallel()
	f := newFixture(t)
	frozen := f.spawn(t, childSetup{Lease: shortLease, Concurrency: 2})
	obedient := f.enqueue(t, penstock.NewJob{Name: "hang"})
	stubborn := f.enqueue(t, penstock.NewJob{Name: "stubborn"})
	frozen.await(t, "handling", 2)

	heirGoes, open := gate(t)
	heir := f.work(t, penstock.WorkerConfig{Lease: shortLease}, func(w *penstock.Worker) {
		wait := func(context.Context, *penstock.Job[struct{}]) error { <-heirGoes; return nil }
		penstock.Handle(w, "q", "hang", wait)
		penstock.Handle(w, "q", "stubborn", wait)
	})
	frozen.signal(t, syscall.SIGSTOP)
	f.started.await(t, "the second attempts", 2, func(e penstock.StartEvent) bool { return e.Attempt == 2 })

	frozen.signal(t, syscall.SIGCONT)
	require.Equal(t, penstock.ErrLeaseLost.Error(), frozen.awaitJob(t, "cause", obedient).Text)
	frozen.say(t, "go") // the stubborn one believes that it has done its work
	for _, id := range []int64{obedient, stubborn} {
		require.True(t, frozen.awaitJob(t, "end", id).LeaseLost)
		require.Equal(t, penstock.Running, f.job(t, id).State, "a stale end changes nothing")
		require.Equal(t, "lost", f.outcomes(t, id))
	}
	open()
	for _, id := range []int64{obedient, stubborn} {
		require.Equal(t, "completed", f.end(t, id, 1).Outcome)
		require.Equal(t, "lost completed", f.outcomes(t, id))
	}

	heir.stop()
	next := f.enqueue(t, penstock.NewJob{Name: "hang"})
	r := frozen.awaitJob(t, "handling", next)
	require.NotEqual(t, frozen.worker, r.Worker, "it has registered anew")
	frozen.awaitJob(t, "end", next)
	require.Equal(t, penstock.Completed, f.job(t, next).State)
	frozen.stop(t)
}

func TestAFrozenWorkersOpenTransactionHoldsUpItsOwnJobOnly(t *testing.T) { // P9
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `CREATE TABLE effects (job_id bigint, attempt integer)`)
	frozen := f.spawn(t, childSetup{Lease: shortLease, Concurrency: 2})
	inTx := f.enqueue(t, penstock.NewJob{Name: "effect", Data: effect{"before"}})
	other := f.enqueue(t, penstock.NewJob{Name: "hang"})
	frozen.awaitJob(t, "reached", inTx) // its row of running is locked from now on
	frozen.awaitJob(t, "handling", other)
	f.work(t, penstock.WorkerConfig{Lease: shortLease}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", penstock.AnyName, func(context.Context, *penstock.Job[struct{}]) error { return nil })
	})
	frozen.signal(t, syscall.SIGSTOP)
	f.end(t, other, 1)
	require.Equal(t, "lost completed", f.outcomes(t, other))
	require.Equal(t, penstock.Running, f.job(t, inTx).State)
	frozen.kill(t) // Postgres rolls the transaction back
	f.end(t, inTx, 1)
	require.Equal(t, "lost completed", f.outcomes(t, inTx))
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM effects`))
}

func TestWhatWasLeasedAheadIsNotStartedOnceTheLeaseIsLost(t *testing.T) { // P4, P5
	t.Parallel()
	f := newFixture(t)
	entered := make(chan int64, 1)
	goOn, open := gate(t)
	jobs := noops(4000)
	jobs[2000].Name = "gate"
	ids, err := f.client.EnqueueMany(t.Context(), jobs)
	require.NoError(t, err)
	f.work(t, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 1}},
	}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "noop", noop)
		penstock.Handle(w, "q", "gate", func(_ context.Context, job *penstock.Job[struct{}]) error {
			if job.Attempt == 1 {
				entered <- job.ID
				<-goOn
			}
			return nil
		})
	})
	at := await(t, "the gate", entered)
	until(t, "jobs leased ahead", func() bool {
		return ask[int](t, f, `SELECT count(*) FROM penstock.running WHERE job_id > $1`, at) > 0
	})
	require.NotZero(t, ask[int](t, f, `SELECT penstock.bury(id, beat) FROM penstock.workers`))
	until(t, "the worker to register anew", func() bool { return ask[int](t, f, `SELECT count(*) FROM penstock.workers`) == 1 })
	open()
	for _, id := range ids {
		f.ended.await(t, "every job's end", 1, func(e penstock.EndEvent) bool {
			return e.JobID == id && !e.LeaseLost && e.Outcome == "completed"
		})
	}
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.attempts WHERE outcome = 'failed'`), "nobody failed")
	f.finished(t, len(ids))
	lost := ask[[]int64](t, f, `SELECT array_agg(job_id) FROM penstock.attempts
		WHERE attempt = 1 AND outcome IN ('lost', 'released') AND job_id > $1`, at)
	require.NotEmpty(t, lost)
	require.Empty(t, f.started.which(func(e penstock.StartEvent) bool {
		return e.Attempt == 1 && slices.Contains(lost, e.JobID)
	}))
}
