package deadletter_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

var exhausted = death{NewJob: penstock.NewJob{MaxAttempts: 1}, outcome: "failed", class: "IOError"}

// due makes entries due to be redriven by themselves.
func (f *fixture) due(t tester, ids ...int64) {
	t.Helper()
	f.exec(t, "UPDATE penstock.dead_jobs SET next_retry_at = clock_timestamp() WHERE job_id = ANY ($1) AND next_retry_at IS NOT NULL", ids)
}

func TestByDefaultARetryableEntryIsRedrivenAfterAnHourThenTwoThenFourThenNeverAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, exhausted)[0]
	for generation, wait := range []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour} {
		d, err := f.client.DLQ.Get(t.Context(), "q", entry(id))
		require.NoError(t, err)
		require.Equal(t, generation, d.Generation)
		require.WithinDuration(t, d.FailedAt.Add(wait), *d.NextRetryAt, time.Millisecond)
		none, err := f.client.DLQ.ProcessScheduledRetries(t.Context(), "q")
		require.NoError(t, err)
		require.Equal(t, []int64{}, none, "not due yet")

		f.due(t, id)
		fresh, err := f.client.DLQ.ProcessScheduledRetries(t.Context(), "q")
		require.NoError(t, err)
		require.Len(t, fresh, 1)
		require.Equal(t, id, f.job(t, fresh[0]).OriginID)
		require.Equal(t, fresh, f.claim(t, "q", 10))
		id = fresh[0]
		f.end(t, "q", fresh, []death{exhausted})
	}
	d, err := f.client.DLQ.Get(t.Context(), "q", entry(id))
	require.NoError(t, err)
	require.Equal(t, 3, d.Generation)
	require.True(t, d.CanRetry)
	require.Nil(t, d.NextRetryAt)
}

func TestWhatNoRetryMendsIsNotScheduled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{}, death{outcome: "failed", class: "ValidationError"})
	require.Zero(t, ask[int](t, f, "SELECT count(next_retry_at) FROM penstock.dead_jobs"))
}

func TestAQueueMayHaveADeadLetterPolicyOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ms := func(d time.Duration) *penstock.Milliseconds { return ptr(penstock.Milliseconds(d)) }
	require.NoError(t, f.client.As("ann").DLQ.SetPolicy(t.Context(), penstock.DeadPolicy{Queue: "q", Delay: ms(time.Minute), MaxGenerations: ptr(1)}))
	p, err := f.client.DLQ.Policy(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, penstock.DeadPolicy{
		Queue: "q", Delay: ms(time.Minute), Multiplier: ptr(2.0), MaxGenerations: ptr(1), Retention: ms(30 * 24 * time.Hour),
	}, p, "what it does not say is every queue's")

	id := f.kill(t, exhausted)[0]
	d, err := f.client.DLQ.Get(t.Context(), "q", entry(id))
	require.NoError(t, err)
	require.WithinDuration(t, d.FailedAt.Add(time.Minute), *d.NextRetryAt, time.Millisecond)

	require.NoError(t, f.client.DLQ.SetPolicy(t.Context(), penstock.DeadPolicy{Queue: "q", MaxGenerations: ptr(0)}))
	id = f.kill(t, exhausted)[0]
	d, err = f.client.DLQ.Get(t.Context(), "q", entry(id))
	require.NoError(t, err)
	require.Nil(t, d.NextRetryAt, "0: never by itself")

	require.NoError(t, f.client.DLQ.SetPolicy(t.Context(), penstock.DeadPolicy{Queue: "*", Delay: ms(2 * time.Hour)}))
	other := f.kill(t, death{NewJob: penstock.NewJob{Queue: "r", MaxAttempts: 1}, outcome: "failed"})[0]
	d, err = f.client.DLQ.Get(t.Context(), "r", entry(other))
	require.NoError(t, err)
	require.WithinDuration(t, d.FailedAt.Add(2*time.Hour), *d.NextRetryAt, time.Millisecond, "one field of every queue's policy")
	p, err = f.client.DLQ.Policy(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, ms(time.Minute), p.Delay)

	for field, odd := range map[string]penstock.DeadPolicy{
		"queue":           {Queue: "no spaces"},
		"delay":           {Queue: "q", Delay: ms(time.Millisecond)},
		"multiplier":      {Queue: "q", Multiplier: ptr(0.5)},
		"max_generations": {Queue: "q", MaxGenerations: ptr(101)},
		"retention":       {Queue: "q", Retention: ms(time.Minute)},
	} {
		refused(t, f.client.DLQ.SetPolicy(t.Context(), odd), field)
	}
}

func TestEightCallersAtOnceRedriveEachDueEntryOnce(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, repeat(400, exhausted)...)
	elsewhere := f.kill(t, death{NewJob: penstock.NewJob{Queue: "r", MaxAttempts: 1}, outcome: "failed"})
	later := f.kill(t, exhausted)
	f.due(t, append(ids, elsewhere...)...)
	var mu sync.Mutex
	var fresh []int64
	together(8, func(int) {
		got, err := f.client.DLQ.ProcessScheduledRetries(t.Context(), "q")
		if err != nil {
			t.Errorf("process: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		fresh = append(fresh, got...)
	})
	slices.Sort(fresh)
	require.Equal(t, list[int64](t, f, "SELECT id FROM penstock.jobs WHERE origin_id IS NOT NULL ORDER BY 1"), fresh)
	require.Equal(t, ids, list[int64](t, f, "SELECT origin_id FROM penstock.jobs WHERE origin_id IS NOT NULL ORDER BY 1"))
	require.ElementsMatch(t, append(later, elsewhere...), f.dead(t, penstock.DeadQuery{}), "not due, or of another queue")

	got, err := f.client.As("ann").DLQ.ProcessScheduledRetries(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, got, 1, "of every queue")
	require.Equal(t, "ann", ask[string](t, f, "SELECT actor FROM penstock.departures WHERE job_id = $1", elsewhere[0]))
}

func TestAWorkersMaintenanceRedrivesWhatIsDueAndPurgesWhatIsPastRetention(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, exhausted, death{}, death{})
	f.due(t, ids[0])
	f.died(t, 31*24*time.Hour, ids[1])
	f.exec(t, "UPDATE penstock.scheduled_tasks SET next_run_at = now() WHERE name IN ('dlq-retries', 'dlq-purge')")
	origins := make(chan int64, 1)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deploy", func(_ context.Context, job *penstock.Job[struct{}]) error {
			origins <- job.OriginID
			return nil
		})
	})
	require.Equal(t, ids[0], next(t, origins))
	require.Eventually(t, func() bool { return f.state(t, ids[1]) == penstock.Purged }, patience, 10*time.Millisecond)
	require.Equal(t, penstock.DeadState, f.state(t, ids[2]))
}
