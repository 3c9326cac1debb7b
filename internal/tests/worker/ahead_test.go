package worker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// ahead is a worker whose only handler is blocked, with jobs leased ahead that wait for
// that handler.
type ahead struct {
	*fixture
	blocked int64   // the job in the handler
	waiting []int64 // leased and not started
	release func()  // lets the blocked handler return
}

// leaseAhead runs fast jobs until the worker leases ahead, and blocks its handler then.
func leaseAhead(t *testing.T, timeout time.Duration) *ahead {
	t.Helper()
	a := &ahead{fixture: newFixture(t)}
	entered := make(chan int64, 1)
	goOn, open := gate(t)
	a.release = open
	jobs := noops(4000)
	jobs[2000].Name = "gate"
	for i := 2001; i < len(jobs); i++ {
		jobs[i].Timeout = timeout
	}
	_, err := a.client.EnqueueMany(t.Context(), jobs)
	require.NoError(t, err)
	a.work(t, penstock.WorkerConfig{
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
	a.blocked = await(t, "the gate", entered)
	until(t, "jobs leased ahead", func() bool {
		a.waiting = ask[[]int64](t, a.fixture, `SELECT coalesce(array_agg(job_id), '{}') FROM penstock.running WHERE job_id > $1`, a.blocked)
		return len(a.waiting) > 0
	})
	return a
}

func TestATimeoutCountsFromTheHandlersStart(t *testing.T) { // P3
	t.Parallel()
	a := leaseAhead(t, 500*time.Millisecond)
	time.Sleep(time.Second) // their timeout is over, and no handler has had them
	a.exec(t, `SELECT penstock.fail_overdue('0 seconds')`)
	require.Zero(t, ask[int](t, a.fixture, `SELECT count(*) FROM penstock.attempts
		WHERE outcome = 'failed' AND error_class = 'Timeout' AND job_id > $1`, a.blocked),
		"attempts that timed out before their handler was started")
}

func TestJobsLeasedAheadAreGivenBackWhenTheyWait(t *testing.T) { // P10
	t.Parallel()
	a := leaseAhead(t, time.Minute)
	idle := fixtureOn(t, a.DB)
	idle.work(t, penstock.WorkerConfig{}, handleNoop)
	blockedFor := time.Now()
	until(t, "an idle worker to run what the blocked one had leased", func() bool {
		return ask[int](t, a.fixture, `SELECT count(*) FROM penstock.running WHERE job_id <> $1`, a.blocked) == 0 ||
			time.Since(blockedFor) > 10*time.Second
	})
	require.Less(t, time.Since(blockedFor), 5*time.Second, "%d jobs waited in the blocked worker", len(a.waiting))
	require.Zero(t, ask[int](t, a.fixture, `SELECT count(*) FROM penstock.attempts WHERE outcome NOT IN ('completed', 'released')`))
}

func TestAnAttemptThatAnotherEndedIsNotStarted(t *testing.T) { // P4
	t.Parallel()
	a := leaseAhead(t, time.Minute)
	// As a deadline, an operator or a failover ends it: this worker is not asked.
	a.exec(t, `SELECT FROM penstock.finish('q', ARRAY(SELECT job_id FROM penstock.running WHERE job_id > $1 ORDER BY job_id),
		ARRAY(SELECT attempt FROM penstock.running WHERE job_id > $1 ORDER BY job_id),
		(SELECT array_agg('cancelled'::text) FROM penstock.running WHERE job_id > $1))`, a.blocked)
	ended := ask[[]int64](t, a.fixture, `SELECT coalesce(array_agg(job_id), '{}') FROM penstock.attempts WHERE outcome = 'cancelled'`)
	require.NotEmpty(t, ended)
	time.Sleep(3 * time.Second) // more than the two that a worker has to notice
	a.release()
	a.end(t, a.blocked, 1)
	last := a.enqueue(t, penstock.NewJob{Name: "noop"})
	a.end(t, last, 1)
	require.Zero(t, len(a.started.which(func(e penstock.StartEvent) bool { return slices.Contains(ended, e.JobID) })),
		"handlers started although their attempt had ended")
}

func TestAHandlerWhoseAttemptAnotherEndedIsCancelledWithinTwoSeconds(t *testing.T) { // P4
	t.Parallel()
	f := newFixture(t)
	cause := make(chan error, 1)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "long", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			select {
			case <-ctx.Done():
				cause <- context.Cause(ctx)
			case <-time.After(10 * time.Second):
				cause <- nil
			}
			return ctx.Err()
		})
	})
	id := f.enqueue(t, penstock.NewJob{Name: "long"})
	f.started.await(t, "the handler", 1, func(e penstock.StartEvent) bool { return e.JobID == id })
	f.exec(t, `SELECT FROM penstock.finish('q', ARRAY[$1::bigint], ARRAY[1], ARRAY['cancelled'])`, id)
	ended := time.Now()
	require.Error(t, await(t, "the handler's end", cause), "it ran on for 10 s after its attempt had ended")
	require.Less(t, time.Since(ended), 4*time.Second) // two, and a busy machine
}
