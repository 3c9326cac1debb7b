package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// poisons are JSON that Go takes and Postgres refuses, each for a reason of its own.
var poisons = map[string]json.RawMessage{
	"a lone surrogate":            json.RawMessage(`{"n":"\ud800"}`),
	"a number too large":          json.RawMessage(`{"n":1e200000}`),
	"too big once it is spelled":  json.RawMessage("[1e99999" + strings.Repeat(",1e99999", 10) + "]"),
	"a key that starts a NUL off": json.RawMessage(`{"\udc00":1}`),
}

func TestAPoisonousJobFailsItsOwnCallerOnly(t *testing.T) { // P1
	t.Parallel()
	f := newFixture(t)
	const good = 500
	ids, errs := make([]int64, good), make([]error, good)
	refused := make(map[string]error)
	var mu sync.Mutex // guards refused
	var callers sync.WaitGroup
	for n := range good {
		callers.Go(func() {
			ids[n], errs[n] = f.client.Enqueue(t.Context(), penstock.NewJob{
				Queue: fmt.Sprintf("q%d", n%2), Name: "numbered", Data: map[string]int{"n": n},
			})
		})
		for what, data := range poisons {
			if n%250 != len(what) { // strewn among the good
				continue
			}
			callers.Go(func() {
				_, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "q1", Name: "poison", Data: data})
				mu.Lock()
				defer mu.Unlock()
				refused[what] = err
			})
		}
	}
	callers.Wait()
	for what := range poisons {
		require.Error(t, refused[what], what)
		require.NotErrorIs(t, refused[what], penstock.ErrOutcomeUnknown, what)
	}
	kept := keptJobs(t, f)
	require.Len(t, kept, good)
	for n := range good {
		require.NoError(t, errs[n])
		require.Equal(t, []int64{ids[n]}, kept[n], "each caller has the id of its own job")
	}
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.jobs WHERE name = 'poison'`))
}

func TestAPoisonousResultFailsItsOwnAttemptOnly(t *testing.T) { // P1
	t.Parallel()
	f := newFixture(t)
	const good = 500
	var mu sync.Mutex // guards poisoned
	poisoned := map[int64]string{}
	f.work(t, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 100}}}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "fine", func(ctx context.Context, job *penstock.Job[struct{}]) error {
			return penstock.Result(ctx, job.ID)
		})
		penstock.Handle(w, "q", "poison", func(ctx context.Context, job *penstock.Job[string]) error {
			mu.Lock()
			poisoned[job.ID] = job.Data
			mu.Unlock()
			return penstock.Result(ctx, poisons[job.Data])
		})
		penstock.Handle(w, "q", "unclosed", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			return penstock.Result(ctx, json.RawMessage(`{"not":"closed"`))
		})
		penstock.Handle(w, "q", "big", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			return penstock.Result(ctx, strings.Repeat("x", 1<<20))
		})
	})
	never := &penstock.RetryStrategy{Type: penstock.Fixed, Delay: time.Hour}
	var jobs []penstock.NewJob
	for n := range good {
		jobs = append(jobs, penstock.NewJob{Queue: "q", Name: "fine"})
		for what := range poisons {
			if n%250 == len(what) {
				jobs = append(jobs, penstock.NewJob{Queue: "q", Name: "poison", Data: what, Retry: never})
			}
		}
	}
	jobs = append(jobs,
		penstock.NewJob{Queue: "q", Name: "unclosed", Retry: never}, penstock.NewJob{Queue: "q", Name: "big", Retry: never})
	ids, err := f.client.EnqueueMany(t.Context(), jobs)
	require.NoError(t, err)
	for i, id := range ids {
		end := f.end(t, id, 1)
		require.False(t, end.LeaseLost)
		if jobs[i].Name == "fine" {
			require.Equal(t, "completed", end.Outcome)
			continue
		}
		require.Equal(t, "failed", end.Outcome, poisoned[id])
		info := f.job(t, id)
		require.Equal(t, penstock.Retrying, info.State)
		if jobs[i].Name == "poison" {
			require.Equal(t, "ResultRefused", info.Attempts[0].ErrorClass)
		}
	}
	require.Equal(t, good, ask[int](t, f, `SELECT count(*) FROM penstock.attempts WHERE result = to_jsonb(job_id)`))
}

func TestACommitThatFailsIsAnEnqueueThatFails(t *testing.T) { // P1
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `
		CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE EXCEPTION 'not at the commit' USING ERRCODE = 'check_violation';
		END $$;
		CREATE CONSTRAINT TRIGGER forbid AFTER INSERT ON penstock.pending DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (new.name = 'forbidden') EXECUTE FUNCTION forbid()`)
	_, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "forbidden"})
	require.ErrorContains(t, err, "not at the commit")
	_, err = f.client.EnqueueMany(t.Context(), []penstock.NewJob{{Queue: "q", Name: "fine"}, {Queue: "r", Name: "forbidden"}})
	require.ErrorContains(t, err, "not at the commit")
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.jobs`))
	f.enqueue(t, penstock.NewJob{Name: "fine"})
}

func TestACallerWhoseContextEndsStopsWaiting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.client.Enqueue(ctx, penstock.NewJob{Queue: "q", Name: "noop"})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.jobs`))

	// An open transaction holds the key, so the enqueue waits in Postgres.
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	held, err := f.client.InTx(tx).Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "noop", IdempotencyKey: "k"})
	require.NoError(t, err)
	ctx, cancel = context.WithCancel(t.Context())
	told := make(chan error, 1)
	go func() {
		_, err := f.client.Enqueue(ctx, penstock.NewJob{Queue: "q", Name: "noop", IdempotencyKey: "k"})
		told <- err
	}()
	until(t, "a waiting enqueue", func() bool {
		return ask[bool](t, f, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')`)
	})
	cancel()
	require.ErrorIs(t, await(t, "the answer", told), context.Canceled)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, held, f.enqueue(t, penstock.NewJob{Name: "noop", IdempotencyKey: "k"}))
	require.Equal(t, 1, ask[int](t, f, `SELECT count(*) FROM penstock.jobs`))
}

func TestAKeyThatATransactionHoldsStallsNoJobWithoutOne(t *testing.T) { // P7
	t.Parallel()
	f := newFixture(t)
	keyed := penstock.NewJob{Queue: "q", Name: "noop", IdempotencyKey: "k"}
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = f.client.InTx(tx).Enqueue(t.Context(), keyed)
	require.NoError(t, err)
	const waiters = 3 // more than there are flushes at once
	ids, errs := make(chan int64, waiters), make(chan error, waiters)
	for n := 1; n <= waiters; n++ {
		go func() {
			id, err := f.client.Enqueue(t.Context(), keyed)
			ids <- id
			errs <- err
		}()
		until(t, "a waiting enqueue", func() bool {
			return ask[bool](t, f, `SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
				WHERE NOT l.granted AND a.datname = current_database()`)
		})
	}
	for range 20 {
		within, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := f.client.Enqueue(within, penstock.NewJob{Queue: "q", Name: "noop"})
		cancel()
		require.NoError(t, err, "another caller's key is not its business")
	}
	require.NoError(t, tx.Rollback(t.Context()))
	first := await(t, "an answer", ids)
	for range waiters - 1 {
		require.Equal(t, first, await(t, "an answer", ids))
	}
	for range waiters {
		require.NoError(t, await(t, "an answer", errs))
	}
	require.Equal(t, 21, ask[int](t, f, `SELECT count(*) FROM penstock.jobs`))
}
