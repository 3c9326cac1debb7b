package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

type validationError struct{}

func (*validationError) Error() string      { return "no such colour" }
func (*validationError) ErrorClass() string { return "ValidationError" }

func TestHowAHandlerEndsDecidesWhatBecomesOfTheJob(t *testing.T) { // P1
	t.Parallel()
	f := newFixture(t)
	luckless := errors.New("no luck")
	cases := []struct {
		name    string // becomes the job's
		handler func(context.Context, *penstock.Job[struct{}]) error
		state   penstock.State
		outcome string
		class   string
		costs   int // failures
	}{
		{"nil completes", noop, penstock.Completed, "completed", "", 0},
		{"an error is retried", func(context.Context, *penstock.Job[struct{}]) error { return luckless }, penstock.Retrying, "failed", "Error", 1},
		{"Dead is final", func(context.Context, *penstock.Job[struct{}]) error { return penstock.Dead(luckless) }, penstock.DeadState, "failed", "Error", 1},
		{"a non-retryable class is final, however wrapped", func(context.Context, *penstock.Job[struct{}]) error {
			return fmt.Errorf("paint: %w", errors.Join(luckless, &validationError{}))
		}, penstock.DeadState, "failed", "ValidationError", 1},
		{"Snooze costs nothing", func(context.Context, *penstock.Job[struct{}]) error { return penstock.Snooze(time.Hour) }, penstock.Scheduled, "snoozed", "", 0},
		{"RetryIn brings its own delay", func(context.Context, *penstock.Job[struct{}]) error { return penstock.RetryIn(3*time.Hour, luckless) }, penstock.Retrying, "failed", "Error", 1},
		{"a panic is a failure", func(context.Context, *penstock.Job[struct{}]) error { panic("boom") }, penstock.Retrying, "failed", "Panic", 1},
		{"an index out of range is a failure", func(_ context.Context, job *penstock.Job[struct{}]) error {
			_ = []int{}[job.Attempt]
			return nil
		}, penstock.Retrying, "failed", "Panic", 1},
		{"runtime.Goexit is a failure", func(context.Context, *penstock.Job[struct{}]) error { runtime.Goexit(); return nil }, penstock.Retrying, "failed", "Panic", 1},
	}
	jobName := func(text string) string { return strings.Map(keepLetters, text) }
	f.work(t, penstock.WorkerConfig{
		// One handler goroutine: each case must leave room for the next.
		Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 1}},
	}, func(w *penstock.Worker) {
		for _, c := range cases {
			penstock.Handle(w, "q", jobName(c.name), c.handler)
		}
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id := f.enqueue(t, penstock.NewJob{Name: jobName(c.name), Retry: &penstock.RetryStrategy{Delay: time.Hour}})
			end := f.end(t, id, 1)
			info := f.job(t, id)
			require.Equal(t, c.state, info.State)
			require.Equal(t, c.outcome, f.outcomes(t, id))
			require.Equal(t, c.class, info.Attempts[0].ErrorClass)
			require.Equal(t, c.costs, info.Failures)
			require.False(t, end.LeaseLost)
			if c.class == "Panic" {
				require.Contains(t, info.Attempts[0].Detail, "handler_test.go", "where it happened is kept")
			}
			if c.state == penstock.Retrying || c.state == penstock.Scheduled {
				wait := info.RunAt.Sub(info.Attempts[0].FinishedAt)
				want := time.Hour
				if strings.HasPrefix(c.name, "RetryIn") {
					want = 3 * time.Hour
				}
				require.InDelta(t, want.Seconds(), wait.Seconds(), want.Seconds()*0.11, "give or take the policy's jitter")
			}
		})
	}
}

func keepLetters(r rune) rune {
	if r == '.' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
		return r
	}
	return '-'
}

func TestAHandlerPastItsTimeoutIsToldAndFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cause := make(chan error, 1)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "slow", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return ctx.Err()
		})
	})
	id := f.enqueue(t, penstock.NewJob{Name: "slow", Timeout: 50 * time.Millisecond, MaxAttempts: 1})
	require.ErrorIs(t, await(t, "the handler", cause), penstock.ErrTimeout)
	require.Equal(t, "Timeout", f.end(t, id, 1).ErrorClass)
	info := f.job(t, id)
	require.Equal(t, penstock.DeadState, info.State)
	require.Equal(t, 1, info.Failures)
	require.Contains(t, info.Attempts[0].Message, "50ms")
}

func TestAnAttemptThatIgnoresItsDeadlineIsEndedByPostgres(t *testing.T) { // P5
	t.Parallel()
	f := newFixture(t)
	goOn, open := gate(t)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deaf", func(context.Context, *penstock.Job[struct{}]) error { <-goOn; return nil })
	})
	id := f.enqueue(t, penstock.NewJob{
		Name: "deaf", Timeout: time.Millisecond, Retry: &penstock.RetryStrategy{Delay: time.Hour},
	})
	f.started.await(t, "the start", 1, func(e penstock.StartEvent) bool { return e.JobID == id })
	until(t, "the deadline passed", func() bool { return ask[int](t, f, `SELECT penstock.fail_overdue('0')`) == 1 })
	open()
	require.True(t, f.end(t, id, 1).LeaseLost, "its late completion changes nothing")
	info := f.job(t, id)
	require.Equal(t, penstock.Retrying, info.State)
	require.Equal(t, "Timeout", info.Attempts[0].ErrorClass)
}

func TestAJobWhoseNameNobodyHereKnowsWaitsAtNoCost(t *testing.T) { // P1
	t.Parallel()
	f := newFixture(t)
	first := f.work(t, penstock.WorkerConfig{}, handleNoop)
	id := f.enqueue(t, penstock.NewJob{Name: "unheard-of"})
	require.Equal(t, "released", f.end(t, id, 1).Outcome)
	info := f.job(t, id)
	require.Zero(t, info.Failures)
	require.Equal(t, penstock.Scheduled, info.State, "neither failed nor due at once")
	require.GreaterOrEqual(t, info.RunAt.Sub(info.Attempts[0].FinishedAt), 4*time.Second)
	first.stop()
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) { penstock.Handle(w, "q", "unheard-of", noop) })
	require.Equal(t, "completed", f.end(t, id, 2).Outcome)
	require.Equal(t, "released completed", f.outcomes(t, id))
}

func TestDataThatDoesNotDecodeIsNotRetried(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "typed", func(context.Context, *penstock.Job[struct{ N int }]) error { return nil })
	})
	id := f.enqueue(t, penstock.NewJob{Name: "typed", Data: json.RawMessage(`{"n":"a word"}`)})
	require.Equal(t, "DataError", f.end(t, id, 1).ErrorClass)
	page, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{})
	require.NoError(t, err)
	dead := page.Items
	require.Len(t, dead, 1)
	require.Equal(t, "non_retryable", dead[0].Reason)
	require.JSONEq(t, `{"n":"a word"}`, string(dead[0].Data))
}

func TestACancelReachesARunningHandler(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cause := make(chan error, 1)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "long", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return ctx.Err()
		})
		penstock.Handle(w, "q", "deaf", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			<-ctx.Done()
			return nil
		})
	})
	long, deaf := f.enqueue(t, penstock.NewJob{Name: "long"}), f.enqueue(t, penstock.NewJob{Name: "deaf"})
	f.started.await(t, "both", 2, func(penstock.StartEvent) bool { return true })
	for _, id := range []int64{long, deaf} {
		said, err := f.client.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, penstock.CancelAsked, said)
	}
	require.ErrorIs(t, await(t, "the handler", cause), penstock.ErrCancelled)
	require.Equal(t, "cancelled", f.end(t, long, 1).Outcome)
	require.Equal(t, penstock.Cancelled, f.job(t, long).State)
	f.end(t, deaf, 1)
	require.Equal(t, penstock.Completed, f.job(t, deaf).State, "it had done its work")
	require.Zero(t, f.job(t, long).Failures)
}

func TestHandlersThatHoldEveryConnectionDoNotStarveTheWorker(t *testing.T) { // P9
	t.Parallel()
	f := fixtureOn(t, testkit.New(t), func(cfg *pgxpool.Config) { cfg.MaxConns = 1 })
	pool := f.pool
	goOn, open := gate(t)
	worker := f.work(t, penstock.WorkerConfig{Lease: shortLease}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "greedy", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			conn, err := pool.Acquire(ctx)
			if err != nil {
				return err
			}
			defer conn.Release()
			<-goOn
			return nil
		})
		penstock.Handle(w, "q", "noop", noop)
	})
	greedy, err := f.client.EnqueueMany(t.Context(), []penstock.NewJob{{Queue: "q", Name: "greedy"}, {Queue: "q", Name: "greedy"}})
	require.NoError(t, err)
	f.started.await(t, "the greedy", 2, func(penstock.StartEvent) bool { return true })
	until(t, "the pool is used up", func() bool { return pool.Stat().AcquiredConns() == 1 && pool.Stat().EmptyAcquireCount() > 0 })
	for range 3 { // its own results and heartbeats flow
		beat := ask[int64](t, f, `SELECT beat FROM penstock.workers`)
		id := ask[int64](t, f, `SELECT penstock.enqueue('q', 'noop')`)
		require.Equal(t, "completed", f.end(t, id, 1).Outcome)
		until(t, "a beat", func() bool { return ask[int64](t, f, `SELECT beat FROM penstock.workers`) > beat })
	}
	open()
	for _, id := range greedy {
		require.Equal(t, "completed", f.end(t, id, 1).Outcome)
	}
	require.NotZero(t, worker.ID())
	require.Empty(t, f.buried.which(func(penstock.BuryEvent) bool { return true }))
}
