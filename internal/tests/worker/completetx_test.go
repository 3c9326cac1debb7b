package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestEffectsAndCompletionCommitTogetherOrNotAtAll(t *testing.T) { // P6
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `CREATE TABLE effects (job_id bigint, attempt integer)`)
	// Each handler ends its first attempt its own way and completes the second.
	cases := []struct {
		name, outcomes, class string
		attempt               int // whose effect is kept
		first                 func(ctx context.Context, tx pgx.Tx) error
	}{
		{"committed", "completed", "", 1, func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) }},
		{"rolled-back", "failed completed", "CompletionNotCommitted", 2, func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) }},
		{"committed-and-then-an-error", "completed", "", 1, func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(tx.Commit(ctx), errors.New("too late"))
		}},
		{"rolled-back-with-an-error", "failed completed", "errorString", 2, func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(tx.Rollback(ctx), errors.New("no luck"))
		}},
		{"committed-and-then-a-panic", "completed", "", 1, func(ctx context.Context, tx pgx.Tx) error {
			panic(tx.Commit(ctx))
		}},
	}
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		for _, c := range cases {
			penstock.Handle(w, "q", c.name, func(ctx context.Context, job *penstock.Job[struct{}]) error {
				tx, err := f.Pool.Begin(ctx)
				if err != nil {
					return err
				}
				defer tx.Rollback(ctx)
				if _, err := tx.Exec(ctx, `INSERT INTO effects VALUES ($1, $2)`, job.ID, job.Attempt); err != nil {
					return err
				}
				if err := errors.Join(penstock.Result(ctx, job.Attempt), job.CompleteTx(ctx, tx)); err != nil {
					return err
				}
				if job.Attempt == 1 {
					return c.first(ctx, tx)
				}
				return tx.Commit(ctx)
			})
		}
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id := f.enqueue(t, penstock.NewJob{Name: c.name, Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: time.Millisecond}})
			f.end(t, id, c.attempt)
			require.Equal(t, "completed", f.end(t, id, c.attempt).Outcome)
			require.Equal(t, c.outcomes, f.outcomes(t, id))
			require.Equal(t, []int32{int32(c.attempt)}, ask[[]int32](t, f, `SELECT array_agg(attempt) FROM effects WHERE job_id = $1`, id))
			attempts := f.job(t, id).Attempts
			if c.class != "" && c.class != "errorString" {
				require.Equal(t, c.class, attempts[0].ErrorClass)
			}
			require.JSONEq(t, string(rune('0'+c.attempt)), string(attempts[c.attempt-1].Result))
		})
	}
}

func TestACompletionWithALostLeaseFailsTheHandlersTransaction(t *testing.T) { // P5, P6
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `CREATE TABLE effects (job_id bigint, attempt integer)`)
	told := make(chan error, 1)
	goOn, open := gate(t)
	handle := func(w *penstock.Worker) {
		penstock.Handle(w, "q", "effect", func(ctx context.Context, job *penstock.Job[struct{}]) error {
			ctx = context.WithoutCancel(ctx)
			return pgx.BeginFunc(ctx, f.Pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `INSERT INTO effects VALUES ($1, $2)`, job.ID, job.Attempt); err != nil {
					return err
				}
				if job.Attempt > 1 {
					return job.CompleteTx(ctx, tx)
				}
				<-goOn
				err := job.CompleteTx(ctx, tx)
				told <- err
				return err
			})
		})
	}
	f.work(t, penstock.WorkerConfig{}, handle)
	id := f.enqueue(t, penstock.NewJob{Name: "effect"})
	f.started.await(t, "the first attempt", 1, func(e penstock.StartEvent) bool { return e.JobID == id })
	require.Equal(t, 1, ask[int](t, f, `SELECT penstock.bury(id, beat) FROM penstock.workers`))
	f.work(t, penstock.WorkerConfig{}, handle) // the first one does not run a job twice at once
	f.started.await(t, "the second attempt", 1, func(e penstock.StartEvent) bool { return e.Attempt == 2 })
	open()
	require.ErrorIs(t, await(t, "the refusal", told), penstock.ErrLeaseLost)
	f.ended.await(t, "the end of the first attempt", 1, func(e penstock.EndEvent) bool { return e.Attempt == 1 && e.LeaseLost })
	f.ended.await(t, "the end of the second attempt", 1, func(e penstock.EndEvent) bool { return e.Attempt == 2 && !e.LeaseLost })
	require.Equal(t, "lost completed", f.outcomes(t, id))
	require.Equal(t, []int32{2}, ask[[]int32](t, f, `SELECT array_agg(attempt) FROM effects`))
}

func TestAClaimThatCommitsAfterItsWorkersBurialIsFoundAgain(t *testing.T) { // P1, P4
	t.Parallel()
	f := newFixture(t)
	doomed := ask[int64](t, f, `SELECT penstock.register_worker('{q}')`)
	id := f.enqueue(t, penstock.NewJob{Name: "noop"})
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM penstock.claim('q', $1, 10)`, doomed)
	require.NoError(t, err)
	require.Equal(t, 0, ask[int](t, f, `SELECT penstock.bury($1, 0)`, doomed), "the claim is not to be seen yet")
	require.NoError(t, tx.Commit(t.Context()))
	f.work(t, penstock.WorkerConfig{}, handleNoop)
	require.Equal(t, 2, f.end(t, id, 1).Attempt)
	require.Equal(t, "lost completed", f.outcomes(t, id))
}

func TestTransactionsLeftOpenHoldUpNobodyElsesResults(t *testing.T) { // P3
	t.Parallel()
	f := newFixture(t)
	open := make(chan pgx.Tx, 10)
	const leaks = 3 // more than there are flushers
	f.work(t, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 50}}}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "leak", func(ctx context.Context, job *penstock.Job[struct{}]) error {
			tx, err := f.Pool.Begin(context.WithoutCancel(ctx))
			if err != nil {
				return err
			}
			open <- tx
			return job.CompleteTx(ctx, tx) // and neither commits nor rolls back
		})
		penstock.Handle(w, "q", "noop", noop)
	})
	var leaked []int64
	for range leaks {
		leaked = append(leaked, f.enqueue(t, penstock.NewJob{Name: "leak", Retry: &penstock.RetryStrategy{Delay: time.Hour}}))
	}
	txs := make([]pgx.Tx, leaks)
	for i := range txs {
		txs[i] = await(t, "an open transaction", open)
		t.Cleanup(func() { _ = txs[i].Rollback(context.Background()) }) // ended already, unless the test failed
	}
	f.flushed.await(t, "flushes that passed over the locks", 2*leaks, func(e penstock.FlushEvent) bool { return e.Err == nil })
	ids, err := f.client.EnqueueMany(t.Context(), noops(100))
	require.NoError(t, err)
	for _, id := range ids {
		require.Equal(t, "completed", f.end(t, id, 1).Outcome)
	}
	for _, id := range leaked {
		require.Equal(t, penstock.Running, f.job(t, id).State)
	}
	require.NoError(t, txs[0].Commit(t.Context()))
	for _, tx := range txs[1:] {
		require.NoError(t, tx.Rollback(t.Context()))
	}
	completed := 0
	for _, id := range leaked {
		if f.end(t, id, 1).Outcome == "completed" {
			completed++
		}
	}
	require.Equal(t, 1, completed, "only the transaction that committed counts")
}
