package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/lab/wire"
	"github.com/penstock/penstock/internal/testkit"
)

// wired is a fixture whose client and workers connect through a wire.
func wired(t *testing.T) (*fixture, *wire.Wire) {
	t.Helper()
	w := &wire.Wire{}
	f := fixtureOn(t, testkit.New(t), w.Through, func(cfg *pgxpool.Config) { cfg.MaxConns = 20 })
	return f, w
}

// hold keeps the reply to the next statement with marker in it from the client until
// deliver is called, which the end of the test also does.
func hold(t *testing.T, w *wire.Wire, marker string) (f *wire.Fault, deliver func()) {
	f, deliver = w.Hold(marker)
	t.Cleanup(deliver)
	return f, deliver
}

func noop(context.Context, *penstock.Job[struct{}]) error { return nil }

func handleNoop(w *penstock.Worker) { penstock.Handle(w, "q", "noop", noop) }

func noops(n int) []penstock.NewJob {
	jobs := make([]penstock.NewJob, n)
	for i := range jobs {
		jobs[i] = penstock.NewJob{Queue: "q", Name: "noop"}
	}
	return jobs
}

func TestJobsOfAClaimWhoseReplyWasLostRunSoonAndAtNoCost(t *testing.T) { // P3, P13
	t.Parallel()
	f, w := wired(t)
	const n = 5
	ids, err := f.client.EnqueueMany(t.Context(), noops(n))
	require.NoError(t, err)
	lost := w.Cut("penstock.claim(")
	f.work(t, penstock.WorkerConfig{}, handleNoop)
	await(t, "the claim", lost.Committed)
	for _, id := range ids {
		require.Equal(t, 2, f.end(t, id, 1).Attempt)
		require.Equal(t, "released completed", f.outcomes(t, id), "reconciled, not buried")
		info := f.job(t, id)
		require.Zero(t, info.Failures)
		require.Less(t, info.Attempts[1].ClaimedAt.Sub(*info.Attempts[0].ClaimedAt), 10*time.Second,
			"sooner than any lease or the regular reconciliation")
	}
	f.finished(t, n)
	require.Empty(t, f.buried.which(func(penstock.BuryEvent) bool { return true }))
}

func TestAnEndWhoseReplyWasLostIsRepeatedAndRecordedOnce(t *testing.T) { // P3, P8
	t.Parallel()
	for name, c := range map[string]struct {
		result  error
		call    string
		outcome string
		state   penstock.State
	}{
		"a completion": {nil, "penstock.complete_many(", "completed", penstock.Completed},
		"a failure":    {errors.New("no luck"), "penstock.finish(", "failed", penstock.Retrying},
		"a snooze":     {penstock.Snooze(time.Hour), "penstock.finish(", "snoozed", penstock.Scheduled},
		"a dead end":   {penstock.Dead(errors.New("no luck")), "penstock.finish(", "failed", penstock.DeadState},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, w := wired(t)
			lost := w.Cut(c.call)
			f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
				penstock.Handle(w, "q", "noop", func(context.Context, *penstock.Job[struct{}]) error { return c.result })
			})
			id := f.enqueue(t, penstock.NewJob{Name: "noop", Retry: &penstock.RetryStrategy{Delay: time.Hour}})
			await(t, "the end's commit", lost.Committed)
			require.False(t, f.end(t, id, 1).LeaseLost)
			flushes := f.flushed.await(t, "two flushes", 2, func(penstock.FlushEvent) bool { return true })
			require.Error(t, flushes[0].Err)
			require.NoError(t, flushes[1].Err)
			info := f.job(t, id)
			require.Equal(t, c.state, info.State)
			require.Equal(t, c.outcome, f.outcomes(t, id), "%+v", info)
			require.LessOrEqual(t, info.Failures, 1)
		})
	}
}

func TestAnEnqueueWhoseReplyWasLostSaysThatItsOutcomeIsUnknown(t *testing.T) { // P1
	t.Parallel()
	f, w := wired(t)
	lost := w.Cut("penstock.enqueue_many(")
	_, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "noop"})
	require.ErrorIs(t, err, penstock.ErrOutcomeUnknown)
	await(t, "the enqueue's commit", lost.Committed)
	require.Equal(t, 1, ask[int](t, f, `SELECT count(*) FROM penstock.jobs`))
}

func TestABulkEnqueueWhoseReplyWasLostSaysThatItsOutcomeIsUnknown(t *testing.T) { // P1
	t.Parallel()
	f, w := wired(t)
	lost := w.Cut("penstock.enqueue_many(")
	_, err := f.client.EnqueueMany(t.Context(), noops(3))
	require.ErrorIs(t, err, penstock.ErrOutcomeUnknown)
	await(t, "the enqueue's commit", lost.Committed)
	require.Equal(t, 3, ask[int](t, f, `SELECT count(*) FROM penstock.jobs`))
}

func TestAnEnqueueThatNeverReachedPostgresIsNotUnknown(t *testing.T) { // P1
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres:///nowhere?host="+t.TempDir())
	require.NoError(t, err)
	defer pool.Close()
	client, err := penstock.NewClient(pool, penstock.Config{})
	require.NoError(t, err)
	for name, enqueue := range map[string]func() error{
		"one": func() error {
			_, err := client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "noop"})
			return err
		},
		"many": func() error { _, err := client.EnqueueMany(t.Context(), noops(2)); return err },
	} {
		err := enqueue()
		require.Error(t, err, name)
		require.NotErrorIs(t, err, penstock.ErrOutcomeUnknown, name)
	}
}

func TestAnEnqueueWithAKeyWhoseReplyWasLostGivesTheSameJob(t *testing.T) { // P7
	t.Parallel()
	f, w := wired(t)
	lost := w.Cut("penstock.enqueue_many(")
	id := f.enqueue(t, penstock.NewJob{Name: "noop", IdempotencyKey: "once"})
	await(t, "the enqueue's commit", lost.Committed)
	require.Equal(t, id, f.enqueue(t, penstock.NewJob{Name: "noop", IdempotencyKey: "once"}))
	require.Equal(t, []int64{id}, ask[[]int64](t, f, `SELECT array_agg(id) FROM penstock.jobs`))
}

// The second reply is lost as well, so nobody knows; asked once more, the key tells.
func TestAnEnqueueWithAKeyWhoseReplyWasLostTwiceIsUnknownAndThenTheSameJob(t *testing.T) { // P7
	t.Parallel()
	f, w := wired(t)
	first, second := w.Cut("penstock.enqueue_many("), w.Cut("penstock.enqueue_many(")
	job := penstock.NewJob{Queue: "q", Name: "noop", IdempotencyKey: "once"}
	_, err := f.client.Enqueue(t.Context(), job)
	require.ErrorIs(t, err, penstock.ErrOutcomeUnknown)
	await(t, "the enqueue's commit", first.Committed)
	await(t, "the repetition's commit", second.Committed)
	require.Equal(t, []int64{f.enqueue(t, job)}, ask[[]int64](t, f, `SELECT array_agg(id) FROM penstock.jobs`))
}

func TestATransactionsCommitWhoseReplyWasLostHasCompletedTheJob(t *testing.T) { // P6, P8
	t.Parallel()
	f, w := wired(t)
	f.exec(t, `CREATE TABLE effects (job_id bigint)`)
	f.work(t, penstock.WorkerConfig{}, func(worker *penstock.Worker) {
		penstock.Handle(worker, "q", "effect", func(ctx context.Context, job *penstock.Job[struct{}]) error {
			return pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `INSERT INTO effects VALUES ($1)`, job.ID); err != nil {
					return err
				}
				w.Cut("commit")
				return job.CompleteTx(ctx, tx)
			})
		})
	})
	id := f.enqueue(t, penstock.NewJob{Name: "effect"})
	end := f.end(t, id, 1)
	require.Equal(t, "completed", end.Outcome, "the handler returned an error, Postgres knows better")
	require.False(t, end.LeaseLost)
	require.Equal(t, "completed", f.outcomes(t, id))
	require.Equal(t, 1, ask[int](t, f, `SELECT count(*) FROM effects`))
}

func TestAHeartbeatWhoseReplyWasLostCostsNothing(t *testing.T) { // P4
	t.Parallel()
	f, w := wired(t)
	lost := w.Cut("penstock.heartbeat(")
	again, deliver := hold(t, w, "penstock.heartbeat(")
	worker := f.work(t, penstock.WorkerConfig{}, handleNoop)
	await(t, "the heartbeat", lost.Committed)
	await(t, "the next heartbeat", again.Committed)
	deliver()
	id := worker.ID()
	f.end(t, f.enqueue(t, penstock.NewJob{Name: "noop"}), 1)
	require.Equal(t, id, worker.ID())
	require.Equal(t, []int64{id}, ask[[]int64](t, f, `SELECT array_agg(id) FROM penstock.workers`))
}

func TestAWorkerThatLeavesStaysAway(t *testing.T) { // P4
	t.Parallel()
	f, w := wired(t)
	worker := f.work(t, penstock.WorkerConfig{}, handleNoop)
	f.end(t, f.enqueue(t, penstock.NewJob{Name: "noop"}), 1)
	// It has left the database and does not know it yet: a heartbeat falls due meanwhile.
	leave, deliver := hold(t, w, "penstock.deregister_worker(")
	register := w.Cut("penstock.register_worker(")
	go func() {
		<-leave.Committed
		select {
		case <-register.Committed:
		case <-time.After(1500 * time.Millisecond): // longer than between two beats
		}
		deliver()
	}()
	worker.stop()
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.workers`))
}
