package worker_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// enqueuer is a client in some transaction.
type enqueuer interface {
	Enqueue(context.Context, penstock.NewJob) (int64, error)
	EnqueueMany(context.Context, []penstock.NewJob) ([]int64, error)
}

// transaction is one of any driver.
type transaction struct {
	enqueuer
	commit, rollback func() error
}

func beginPgx(t *testing.T, f *fixture) transaction {
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	ctx := context.Background()
	return transaction{
		f.client.InTx(tx), func() error { return tx.Commit(ctx) },
		func() error { return tx.Rollback(ctx) },
	}
}

// beginSQL begins through database/sql; in simple mode pgx sends text, as lib/pq does.
func beginSQL(mode pgx.QueryExecMode) func(*testing.T, *fixture) transaction {
	return func(t *testing.T, f *fixture) transaction {
		cfg := f.Pool.Config().ConnConfig
		cfg.DefaultQueryExecMode = mode
		d := stdlib.OpenDB(*cfg)
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		tx, err := d.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		require.NoError(t, err)
		return transaction{f.client.InSQLTx(tx), tx.Commit, tx.Rollback}
	}
}

func TestAJobExistsIfAndOnlyIfItsTransactionCommits(t *testing.T) { // P1, P2
	t.Parallel()
	for name, begin := range map[string]func(*testing.T, *fixture) transaction{
		"pgx":                           beginPgx,
		"database/sql":                  beginSQL(pgx.QueryExecModeCacheStatement),
		"database/sql that sends text":  beginSQL(pgx.QueryExecModeSimpleProtocol),
		"database/sql behind a bouncer": beginSQL(pgx.QueryExecModeExec),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			count := func() int { return ask[int](t, f, `SELECT count(*) FROM penstock.job_states`) }
			undone := begin(t, f)
			_, err := undone.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "noop", IdempotencyKey: "k"})
			require.NoError(t, err)
			require.NoError(t, undone.rollback())
			require.Zero(t, count())

			done := begin(t, f)
			jobs := []penstock.NewJob{
				{Queue: "q", Name: "typed", Data: map[string]string{"text": `"quoted" \ ü`}, Priority: penstock.High, Tags: []string{"a", "b"}},
				{Queue: "r", Name: "typed", IdempotencyKey: "k"},
				{Queue: "q", Name: "typed", Data: map[string]int{"n": 3}},
			}
			ids, err := done.EnqueueMany(t.Context(), jobs)
			require.NoError(t, err)
			one, err := done.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "noop", IdempotencyKey: "k"})
			require.NoError(t, err, "the rollback gave the key back")
			require.Zero(t, count(), "nobody sees them before the commit")
			require.NoError(t, done.commit())
			require.Equal(t, 4, count())
			for i, id := range append(ids, one) {
				info := f.job(t, id)
				require.Equal(t, penstock.Waiting, info.State)
				if i < len(jobs) {
					require.Equal(t, jobs[i].Queue, info.Queue, "ids come in the order of the jobs")
					require.Equal(t, jobs[i].Tags, info.Tags)
				}
			}
			require.JSONEq(t, `{"text":"\"quoted\" \\ ü"}`, string(f.job(t, ids[0]).Data))
			require.Equal(t, 10, f.job(t, ids[0]).Priority)

			refused := begin(t, f)
			_, err = refused.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "noop", MaxAttempts: 101})
			var bad *penstock.ArgumentError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "max_attempts", bad.Argument)
			require.NoError(t, refused.rollback())
			require.Equal(t, 4, count())
		})
	}
}

func TestAWorkerRunsWhatATransactionCommitted(t *testing.T) { // P2, P3
	t.Parallel()
	f := newFixture(t)
	f.work(t, penstock.WorkerConfig{}, handleNoop)
	for range 5 {
		tx := beginSQL(pgx.QueryExecModeSimpleProtocol)(t, f)
		id, err := tx.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "noop"})
		require.NoError(t, err)
		// The job that follows it is done before the commit: the open one cannot be claimed.
		require.Equal(t, "completed", f.end(t, f.enqueue(t, penstock.NewJob{Name: "noop"}), 1).Outcome)
		require.Empty(t, f.started.which(func(e penstock.StartEvent) bool { return e.JobID == id }))
		require.NoError(t, tx.commit())
		require.Equal(t, "completed", f.end(t, id, 1).Outcome)
	}
	f.finished(t, 10)
}

func TestAClaimUnderWayHoldsUpNoOther(t *testing.T) { // P4
	t.Parallel()
	f := newFixture(t)
	ids, err := f.client.EnqueueMany(t.Context(), noops(20))
	require.NoError(t, err)
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), `SELECT FROM penstock.claim('q', penstock.register_worker('{q}'), 10)`)
	require.NoError(t, err)
	f.work(t, penstock.WorkerConfig{}, handleNoop)
	for _, id := range ids[10:] {
		require.Equal(t, 1, f.end(t, id, 1).Attempt)
	}
	require.Empty(t, f.started.which(func(e penstock.StartEvent) bool { return e.JobID < ids[10] }))
	require.NoError(t, tx.Rollback(t.Context()))
	for _, id := range ids[:10] {
		require.Equal(t, 1, f.end(t, id, 1).Attempt, "a claim that rolls back never was")
	}
	f.finished(t, len(ids))
}
