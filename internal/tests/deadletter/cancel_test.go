package deadletter_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestACancelEndsAWaitingJobAtOnceAndOnlyOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, job := range map[string]penstock.NewJob{"waiting": {}, "scheduled": {Delay: time.Hour}} {
		id := f.enqueue(t, job)
		result, err := f.client.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, penstock.CancelDone, result, name)
		require.Equal(t, penstock.Cancelled, f.state(t, id))
		result, err = f.client.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, penstock.CancelTooLate, result)
		require.Len(t, f.job(t, id).Attempts, 1)
	}
	require.Empty(t, f.claim(t, "q", 10))
}

func TestACancelReachesARunningJobThroughItsContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	running, cause := make(chan struct{}), make(chan error, 1)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deploy", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			close(running)
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return ctx.Err()
		})
	})
	id := f.enqueue(t, penstock.NewJob{})
	next(t, running)
	result, err := f.client.Cancel(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, penstock.CancelAsked, result)
	require.ErrorIs(t, next(t, cause), penstock.ErrCancelled)
	job, err := f.client.Wait(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, penstock.Cancelled, job.State)
}

func TestARequestedCancelSurvivesHoweverTheAttemptEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		outcome string
		state   penstock.State
	}{
		{"failed", penstock.Cancelled},
		{"dead", penstock.Cancelled},
		{"snoozed", penstock.Cancelled},
		{"released", penstock.Cancelled},
		{"cancelled", penstock.Cancelled},
		{"lost", penstock.Cancelled},
		{"completed", penstock.Completed},
	} {
		id := f.enqueue(t, penstock.NewJob{})
		doomed := ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['q'])")
		require.Equal(t, id, ask[int64](t, f, "SELECT job_id FROM penstock.claim('q', $1, 1)", doomed))
		result, err := f.client.Cancel(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, penstock.CancelAsked, result)
		require.True(t, f.job(t, id).CancelRequested)
		if c.outcome == "lost" {
			require.Equal(t, 1, ask[int](t, f, "SELECT penstock.bury($1, 0)", doomed))
		} else {
			f.finish(t, id, c.outcome)
		}
		require.Equal(t, c.state, f.state(t, id), c.outcome)
	}
	require.Empty(t, f.dead(t, penstock.DeadQuery{}))
}

func TestADeadJobHasNothingLeftToCancel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, death{})[0]
	result, err := f.client.Cancel(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, penstock.CancelTooLate, result)
	require.Equal(t, penstock.DeadState, f.state(t, id))
}

// While workers claim and end jobs in every way as fast as they can, each cancel
// gets an answer that comes true: the database decides the race.
func TestWhatACancelAnswersComesTrueWhateverItRaces(t *testing.T) { // P1, P4
	t.Parallel()
	f := newFixture(t)
	const jobs = 150
	var all []penstock.NewJob
	for range jobs {
		all = append(all, penstock.NewJob{Queue: "q", Name: "deploy", MaxAttempts: 100, Retry: &penstock.RetryStrategy{Delay: penstock.NoDelay}})
	}
	ids, err := f.client.EnqueueMany(t.Context(), all)
	require.NoError(t, err)

	over := make(chan struct{})
	var workers, cancellers sync.WaitGroup
	for n := range 3 {
		workers.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-over:
					return
				default:
				}
				if err := f.turn(20, n+round); err != nil {
					t.Errorf("work: %v", err)
					return
				}
			}
		})
	}
	answers := make([]penstock.CancelResult, jobs)
	for n := range 3 {
		cancellers.Go(func() {
			for i := n; i < jobs; i += 3 {
				var err error
				if answers[i], err = f.client.Cancel(t.Context(), ids[i]); err != nil {
					t.Errorf("cancel: %v", err)
				}
				state := f.state(t, ids[i])
				if answers[i] == penstock.CancelTooLate && state != penstock.Completed && state != penstock.DeadState {
					t.Errorf("job %d was called finished, and is %s", ids[i], state)
				}
			}
		})
	}
	cancellers.Wait()
	require.Eventually(t, func() bool {
		return ask[int](t, f, "SELECT count(*) FROM penstock.running WHERE cancel_requested") == 0
	}, patience, 5*time.Millisecond)
	close(over)
	workers.Wait()
	met := map[penstock.CancelResult]int{}
	for i, id := range ids {
		met[answers[i]]++
		state := f.state(t, id)
		switch answers[i] {
		case penstock.CancelDone:
			require.Equal(t, penstock.Cancelled, state)
		case penstock.CancelAsked:
			require.Contains(t, []penstock.State{penstock.Cancelled, penstock.Completed}, state)
		default:
			require.Contains(t, []penstock.State{penstock.Completed, penstock.DeadState}, state)
		}
	}
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.pending"), "every job was cancelled or finished")
	require.Len(t, met, 3, fmt.Sprint("the race went every way: ", met))
}

// turn claims some jobs and ends them at once, mostly so that they come back.
func (f *fixture) turn(most, round int) error {
	ctx, cancel := soon()
	defer cancel()
	var ids []int64
	var attempts []int32
	if err := f.Pool.QueryRow(ctx, `SELECT array_agg(job_id ORDER BY job_id), array_agg(attempt ORDER BY job_id)
		FROM penstock.claim('q', $1, $2)`, f.worker, most).Scan(&ids, &attempts); err != nil {
		return err
	}
	words := make([]string, len(ids))
	for i, attempt := range attempts {
		words[i] = []string{"snoozed", "failed", "released"}[(i+round)%3]
		if attempt%30 == 29 {
			words[i] = []string{"completed", "dead"}[i%2]
		}
	}
	_, err := f.Pool.Exec(ctx, "SELECT penstock.finish('q', $1, $2, $3)", ids, attempts, words)
	return err
}
