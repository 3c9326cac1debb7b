package penstocktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/penstocktest"
)

type notFoundError struct{}

func (notFoundError) Error() string { return "no such page" }

func TestRunTellsAttemptsApartAsAWorkerDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                    string
		handler                 penstock.HandlerFunc
		outcome, class, message string
	}{
		{"nil completes", func(context.Context, *penstock.Job[json.RawMessage]) error { return nil }, "completed", "", ""},
		{"an error goes by its type", func(context.Context, *penstock.Job[json.RawMessage]) error {
			return fmt.Errorf("fetch: %w", notFoundError{})
		}, "failed", "notFoundError", "fetch: no such page"},
		{"a panic is a failure", func(context.Context, *penstock.Job[json.RawMessage]) error { panic("oops") }, "failed", "Panic", "panic: oops"},
		{"past its timeout it failed as Timeout", func(ctx context.Context, _ *penstock.Job[json.RawMessage]) error {
			<-ctx.Done()
			return ctx.Err()
		}, "failed", "Timeout", "not done within 1ms: context deadline exceeded"},
		{"Dead is final", func(context.Context, *penstock.Job[json.RawMessage]) error {
			return penstock.Dead(notFoundError{})
		}, "dead", "notFoundError", "no such page"},
		{"a completion in a transaction is believed", func(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
			return job.CompleteTx(ctx, nil)
		}, "completed", "", ""},
		{"progress is checked", func(ctx context.Context, _ *penstock.Job[json.RawMessage]) error {
			return errors.Join(penstock.Progress(ctx, 40, "half"), penstock.Progress(ctx, 101, "more"))
		}, "failed", "ArgumentError", "note progress: penstock: percent must be 0 to 100, got 101"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			end := penstocktest.Run(t.Context(), c.handler, penstock.Job[json.RawMessage]{Timeout: time.Millisecond})
			require.Equal(t, []string{c.outcome, c.class, c.message}, []string{end.Outcome, end.ErrorClass, end.Message})
		})
	}
}

func TestRunGivesTheHandlerWhatAWorkerWould(t *testing.T) {
	t.Parallel()
	given := penstock.Job[Charge]{Data: Charge{"visa", 5}, Tags: []string{"a"}, Failures: 1, Crashes: 1, OriginID: 7, Generation: 2, TraceContext: "00-a"}
	var got penstock.Job[Charge]
	penstocktest.Run(t.Context(), func(ctx context.Context, job *penstock.Job[Charge]) error {
		got = *job
		return nil
	}, given)
	require.Equal(t, []any{int64(1), "test", "test", 3, 5, 5 * time.Minute},
		[]any{got.ID, got.Queue, got.Name, got.Attempt, got.Priority, got.Timeout})
	require.Equal(t, []any{given.Data, given.Tags, 1, 1, int64(7), 2, "00-a"},
		[]any{got.Data, got.Tags, got.Failures, got.Crashes, got.OriginID, got.Generation, got.TraceContext})
}

func TestRunPassesDataThroughJSON(t *testing.T) {
	t.Parallel()
	type secret struct{ Shown, hidden string }
	var got secret
	penstocktest.Run(t.Context(), func(_ context.Context, job *penstock.Job[secret]) error {
		got = job.Data
		return nil
	}, penstock.Job[secret]{Data: secret{"a", "b"}})
	require.Equal(t, secret{Shown: "a"}, got)
	require.PanicsWithValue(t, `penstocktest: Run: try handler: penstock: data must be JSON: json: unsupported type: chan int`, func() {
		penstocktest.Run(t.Context(), func(context.Context, *penstock.Job[chan int]) error { return nil }, penstock.Job[chan int]{Data: make(chan int)})
	})
}

func TestRunAsksTheHandlersOwnRetryFunction(t *testing.T) {
	t.Parallel()
	end := penstocktest.Run(t.Context(), charge, penstock.Job[Charge]{Data: Charge{"broken", 1}, Failures: 3},
		penstock.CustomRetry(func(failures int, _ error) time.Duration { return time.Duration(failures) * time.Hour }))
	require.Equal(t, 4*time.Hour, end.Delay)
}

func TestAPanicShowsItsStack(t *testing.T) {
	t.Parallel()
	end := penstocktest.Run(t.Context(), func(context.Context, *penstock.Job[Charge]) error { panic("oops") }, penstock.Job[Charge]{})
	require.Contains(t, end.String(), "run_test.go")
}

// worker has one queue q and one handler.
func worker(t *testing.T, db *penstocktest.DB, handle func(ctx context.Context, job *penstock.Job[Charge]) error) *penstock.Worker {
	t.Helper()
	w, err := penstock.NewWorker(db.Client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {}}})
	require.NoError(t, err)
	penstock.Handle(w, "q", "charge", handle)
	return w
}

func enqueue(t *testing.T, db *penstocktest.DB, job penstock.NewJob) int64 {
	t.Helper()
	id, err := db.Client.Enqueue(t.Context(), job)
	require.NoError(t, err)
	return id
}

func TestDrainRunsByPriorityAndWhatTheJobsEnqueue(t *testing.T) { // P10
	t.Parallel()
	db := penstocktest.NewDB(t)
	w := worker(t, db, func(ctx context.Context, job *penstock.Job[Charge]) error {
		if job.Data.Card == "first" {
			_, err := db.Client.Enqueue(ctx, penstock.NewJob{Queue: "q", Name: "charge", Data: Charge{"child", 0}})
			require.NoError(t, err)
		}
		return penstock.Result(ctx, job.Data.Card)
	})
	enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Data: Charge{"second", 0}})
	enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Data: Charge{"first", 0}, Priority: penstock.High})
	var order []string
	for _, end := range penstocktest.Drain(t, w) {
		order = append(order, string(end.Result))
	}
	require.Equal(t, []string{`"first"`, `"second"`, `"child"`}, order)
	require.Empty(t, penstocktest.Drain(t, w), "nothing is left")
}

func TestFastForwardGoesByTheTimeThatEachJobWaitsFor(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	w := worker(t, db, func(_ context.Context, job *penstock.Job[Charge]) error {
		if job.Data.Card == "snoozer" && job.Attempt == 1 {
			return penstock.Snooze(2 * time.Hour)
		}
		return nil
	})
	late := enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Delay: 3 * time.Hour})
	snoozer := enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Data: Charge{Card: "snoozer"}})
	soon := enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Delay: time.Hour})
	var order []int64
	for _, end := range penstocktest.FastForward(t, w) {
		order = append(order, end.JobID)
	}
	require.Equal(t, []int64{snoozer, soon, snoozer, late}, order)
}

func TestAnEndTellsWhenItsJobRunsNext(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	w := worker(t, db, charge)
	id := enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Data: Charge{"limited", 5}})
	end := penstocktest.RunOne(t, w)
	info, err := db.Client.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, info.RunAt, end.RunAt)
	require.Equal(t, 30*time.Second, end.Delay)
	require.EqualError(t, end.Err, "too many requests")
}

func TestAHandlerMayEndTheTestAndItsAttemptIsStillWritten(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	w := worker(t, db, func(context.Context, *penstock.Job[Charge]) error { runtime.Goexit(); return nil })
	id := enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", MaxAttempts: 1})
	said := failure(t, func(t testing.TB) { penstocktest.RunOne(t, w) })
	require.Empty(t, said, "the goroutine ended in the handler")
	info, err := db.Client.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, penstock.DeadState, info.State)
	require.Empty(t, penstocktest.Drain(t, w), "the worker can go on")
}

func TestACompletionInTheHandlersTransactionIsTold(t *testing.T) { // P6
	t.Parallel()
	db := penstocktest.NewDB(t)
	w := worker(t, db, func(ctx context.Context, job *penstock.Job[Charge]) error {
		tx, err := db.Pool.Begin(ctx)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback(ctx) }()
		require.NoError(t, penstock.Result(ctx, 7))
		require.NoError(t, job.CompleteTx(ctx, tx))
		if job.Data.Cents == 0 {
			return nil // without the commit
		}
		return tx.Commit(ctx)
	})
	enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Data: Charge{Cents: 1}})
	end := penstocktest.RunOne(t, w)
	require.Equal(t, []string{"completed", "7"}, []string{end.State, string(end.Result)})
	enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge"})
	end = penstocktest.RunOne(t, w)
	require.Equal(t, []string{"retrying", "CompletionNotCommitted"}, []string{end.State, end.ErrorClass})
}

func TestWhatCannotRunSaysWhy(t *testing.T) {
	t.Parallel()
	forever := func(context.Context, *penstock.Job[Charge]) error { return penstock.Snooze(0) }
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, db *penstocktest.DB)
		run     func(t testing.TB, w *penstock.Worker)
		says    []string
	}{
		{
			"a queue without jobs", func(*testing.T, *penstocktest.DB) {},
			func(t testing.TB, w *penstock.Worker) { penstocktest.RunOne(t, w) },
			[]string{"no job is due in q\n", "q has never had a job"},
		},
		{
			"a job of later", func(t *testing.T, db *penstocktest.DB) {
				enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Delay: time.Hour})
			},
			func(t testing.TB, w *penstock.Worker) { penstocktest.RunOne(t, w) },
			[]string{"no job is due in q\n", "q/charge job ", " is scheduled: "},
		},
		{
			"a paused queue, however much time passes", func(t *testing.T, db *penstocktest.DB) {
				enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge"})
				require.NoError(t, db.Client.Queues.Pause(t.Context(), "q"))
			},
			func(t testing.TB, w *penstock.Worker) { penstocktest.FastForward(t, w) },
			[]string{"a job that is due cannot run", " is waiting: ", "paused"},
		},
		{
			"a name without a handler", func(t *testing.T, db *penstocktest.DB) {
				enqueue(t, db, penstock.NewJob{Queue: "q", Name: "refund"})
			},
			func(t testing.TB, w *penstock.Worker) { penstocktest.Drain(t, w) },
			[]string{"the worker has no handler for q/refund: register one with penstock.Handle"},
		},
		{
			"a job that never ends", func(t *testing.T, db *penstocktest.DB) {
				enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge"})
			},
			func(t testing.TB, w *penstock.Worker) { penstocktest.Drain(t, w) },
			[]string{"more than 1000 attempts", "q/charge job ", "snoozed"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := penstocktest.NewDB(t)
			c.prepare(t, db)
			said := failure(t, func(t testing.TB) { c.run(t, worker(t.(*recorder).T, db, forever)) })
			for _, part := range c.says {
				require.Contains(t, said, part)
			}
		})
	}
}
