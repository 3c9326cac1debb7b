package deadletter_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// everyState makes a job of queue q in each state and returns them by state.
func everyState(t *testing.T, f *fixture) map[penstock.State]int64 {
	t.Helper()
	byState := map[penstock.State]int64{}
	byState[penstock.DeadState] = f.kill(t, death{NewJob: penstock.NewJob{Name: "died"}})[0]
	byState[penstock.Purged] = f.kill(t, death{})[0]
	_, err := f.client.DLQ.Purge(t.Context(), "q", 0, penstock.DeadFilter{Name: "deploy"}, nil)
	require.NoError(t, err)
	byState[penstock.Redriven] = f.kill(t, death{})[0]
	_, err = f.client.DLQ.RedriveJob(t.Context(), "q", entry(byState[penstock.Redriven]), nil)
	require.NoError(t, err)
	for _, end := range []struct {
		outcome string
		state   penstock.State
	}{{"completed", penstock.Completed}, {"failed", penstock.Retrying}} {
		id := f.claim(t, "q", 1)
		if end.outcome == "failed" {
			byState[end.state] = f.enqueue(t, penstock.NewJob{Retry: &penstock.RetryStrategy{Delay: time.Hour, MaxDelay: time.Hour}})
			id = f.claim(t, "q", 1)
		}
		f.finish(t, id[0], end.outcome)
		byState[end.state] = id[0]
	}
	byState[penstock.Running] = f.enqueue(t, penstock.NewJob{})
	require.Equal(t, []int64{byState[penstock.Running]}, f.claim(t, "q", 1))
	byState[penstock.Cancelled] = f.enqueue(t, penstock.NewJob{Delay: time.Hour})
	_, err = f.client.Cancel(t.Context(), byState[penstock.Cancelled])
	require.NoError(t, err)
	byState[penstock.Expired] = f.enqueue(t, penstock.NewJob{ExpiresIn: time.Millisecond})
	require.Eventually(t, func() bool { return ask[int](t, f, "SELECT penstock.expire_jobs()") == 1 }, patience, time.Millisecond)
	byState[penstock.Scheduled] = f.enqueue(t, penstock.NewJob{Delay: time.Hour})
	byState[penstock.Waiting] = f.enqueue(t, penstock.NewJob{})
	return byState
}

// jobs reads all that a filter finds, page by page.
func (f *fixture) jobs(t tester, filter penstock.JobFilter, limit int) []int64 {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	return walk(t, func(cursor string) (penstock.Page[penstock.JobInfo], error) {
		return f.client.Jobs(ctx, penstock.JobQuery{Filter: filter, Limit: limit, Cursor: cursor})
	}, func(j penstock.JobInfo) int64 { return j.ID })
}

func TestJobsAreFoundByEachState(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	byState := everyState(t, f)
	require.Len(t, byState, 10)
	for state, id := range byState {
		want := []int64{id}
		if state == penstock.Completed { // the redriven one's new job is the completed one
			require.Equal(t, byState[penstock.Redriven], f.job(t, id).OriginID)
		}
		require.Equal(t, want, f.jobs(t, penstock.JobFilter{State: state}, 1), state)
		require.Equal(t, want, f.jobs(t, penstock.JobFilter{State: state, Queue: "q"}, 500), state)
		require.Empty(t, f.jobs(t, penstock.JobFilter{State: state, Queue: "r"}, 500), state)
		require.Equal(t, state, f.state(t, id))
		count, err := f.client.CountJobs(t.Context(), penstock.JobFilter{State: state}, 10)
		require.NoError(t, err)
		require.Equal(t, penstock.JobCount{Jobs: 1}, count)
	}
	counts, err := f.client.Queues.Counts(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, []penstock.QueueCounts{{Queue: "q", Waiting: 1, Scheduled: 1, Retrying: 1, Running: 1, Dead: 1}}, counts)
}

func TestJobsAreFoundByEveryOtherFilterAloneAndCombined(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := []int64{
		f.enqueue(t, penstock.NewJob{Name: "a", Tags: []string{"x", "y"}, Data: map[string]int{"n": 1}}),
		f.enqueue(t, penstock.NewJob{Name: "b", Tags: []string{"y"}, Data: map[string]int{"n": 2}}),
		f.enqueue(t, penstock.NewJob{Name: "b", Data: map[string]int{"n": 3}, Delay: time.Hour}),
		f.enqueue(t, penstock.NewJob{Queue: "r", Name: "b", Tags: []string{"y"}, Data: map[string]int{"n": 2}}),
	}
	f.exec(t, "UPDATE penstock.jobs SET enqueued_at = enqueued_at - interval '2 hours' WHERE id = $1", ids[0])
	require.Equal(t, ids[:2], f.claim(t, "q", 2))
	f.end(t, "q", ids[:1], []death{{outcome: "failed", class: "IOError"}})
	f.end(t, "q", ids[1:2], []death{{outcome: "failed", class: "Other"}})
	hourAgo := ptr(time.Now().Add(-time.Hour))
	for _, c := range []struct {
		name   string
		filter penstock.JobFilter
		want   []int
	}{
		{"none finds all, the newest first", penstock.JobFilter{}, []int{3, 2, 1, 0}},
		{"queue", penstock.JobFilter{Queue: "q"}, []int{2, 1, 0}},
		{"queue that has none", penstock.JobFilter{Queue: "s"}, nil},
		{"name", penstock.JobFilter{Name: "b"}, []int{3, 2, 1}},
		{"tag", penstock.JobFilter{Tag: "y"}, []int{3, 1, 0}},
		{"class of the last error", penstock.JobFilter{Class: "IOError"}, []int{0}},
		{"enqueued from", penstock.JobFilter{EnqueuedFrom: hourAgo}, []int{3, 2, 1}},
		{"enqueued to", penstock.JobFilter{EnqueuedTo: hourAgo}, []int{0}},
		{"jsonpath", penstock.JobFilter{Data: "$.n > 1 && $.n < 3"}, []int{3, 1}},
		{"all combined", penstock.JobFilter{
			Queue: "q", State: penstock.Retrying, Name: "b", Tag: "y", Class: "Other", EnqueuedFrom: hourAgo,
			EnqueuedTo: ptr(time.Now().Add(time.Hour)), Data: "$.n == 2",
		}, []int{1}},
		{"one of the combined that does not hold", penstock.JobFilter{Name: "b", Tag: "x"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := []int64{}
			for _, i := range c.want {
				want = append(want, ids[i])
			}
			require.Equal(t, want, f.jobs(t, c.filter, 500))
			require.Equal(t, want, f.jobs(t, c.filter, 1), "page by page")
			count, err := f.client.CountJobs(t.Context(), c.filter, 100)
			require.NoError(t, err)
			require.Equal(t, penstock.JobCount{Jobs: len(want)}, count)
		})
	}
}

func TestACountStopsWhereItIsToldTo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `SELECT penstock.enqueue_many('q', array_fill('deploy'::text, ARRAY[1000]), array_fill('{}'::jsonb, ARRAY[1000]))
		FROM generate_series(1, 11)`)
	count, err := f.client.CountJobs(t.Context(), penstock.JobFilter{State: penstock.Waiting}, 10_000)
	require.NoError(t, err)
	require.Equal(t, penstock.JobCount{Jobs: 10_000, Capped: true}, count, "10,000+")
	count, err = f.client.CountJobs(t.Context(), penstock.JobFilter{Queue: "q"}, 100_000)
	require.NoError(t, err)
	require.Equal(t, penstock.JobCount{Jobs: 11_000}, count)
	for _, odd := range []int{0, 100_001} {
		_, err = f.client.CountJobs(t.Context(), penstock.JobFilter{}, odd)
		refused(t, err, "most")
	}

	// By its data a page reads ten thousand jobs, of whichever queue, and says where to go
	// on. By other fields it goes on itself.
	rare := f.enqueue(t, penstock.NewJob{Queue: "rare"})
	f.exec(t, `SELECT penstock.enqueue_many('q', array_fill('deploy'::text, ARRAY[1000]), array_fill('{}'::jsonb, ARRAY[1000]))
		FROM generate_series(1, 11)`)
	page, err := f.client.Jobs(t.Context(), penstock.JobQuery{Filter: penstock.JobFilter{Data: "$.n"}})
	require.NoError(t, err)
	require.Empty(t, page.Items)
	require.NotEmpty(t, page.Next)
	for _, filter := range []penstock.JobFilter{{Queue: "rare"}, {Queue: "rare", State: penstock.Waiting}} {
		page, err = f.client.Jobs(t.Context(), penstock.JobQuery{Filter: filter})
		require.NoError(t, err)
		require.Len(t, page.Items, 1, filter)
		require.Equal(t, rare, page.Items[0].ID)
	}
	require.Equal(t, []int64{rare}, f.jobs(t, penstock.JobFilter{Queue: "rare"}, 50))
}

func TestBadQueriesForJobsAreRefusedByField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for field, filter := range map[string]penstock.JobFilter{
		"filter.state": {State: "sleeping"},
		"filter.data":  {Data: "$.a =="},
		"filter.name":  {Name: short("n", 257)},
		"filter.queue": {Queue: short("q", 257)},
	} {
		_, err := f.client.Jobs(t.Context(), penstock.JobQuery{Filter: filter})
		refused(t, err, field)
		_, err = f.client.CountJobs(t.Context(), filter, 10)
		refused(t, err, field)
		_, err = f.client.ChangeJobs(t.Context(), penstock.ActionCancel, filter, "", nil)
		refused(t, err, field)
	}
	_, err := f.client.Jobs(t.Context(), penstock.JobQuery{Limit: 501})
	refused(t, err, "limit")
}

func TestCursorsWalkEachJobOnceWhileOthersAreEnqueued(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var ids []int64
	for i := range 50 {
		ids = append(ids, f.enqueue(t, penstock.NewJob{Data: map[string]int{"n": i}}))
	}
	var found []int64
	for cursor := ""; ; {
		page, err := f.client.Jobs(t.Context(), penstock.JobQuery{Limit: 7, Cursor: cursor, Filter: penstock.JobFilter{State: penstock.Waiting}})
		require.NoError(t, err)
		for _, job := range page.Items {
			found = append(found, job.ID)
		}
		f.enqueue(t, penstock.NewJob{})
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	require.Equal(t, reversed(ids), found)
}

func TestAJobTellsHowItsAttemptsWent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, penstock.NewJob{Retry: &penstock.RetryStrategy{Delay: penstock.NoDelay}})
	f.claim(t, "q", 1)
	f.exec(t, "UPDATE penstock.running SET run_at = claimed_at - interval '3 seconds', claimed_at = claimed_at - interval '2 seconds'")
	f.end(t, "q", []int64{id}, []death{{outcome: "failed", class: "IOError", message: "disk full"}})
	f.claim(t, "q", 1)
	f.exec(t, `SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[2], results => ARRAY['{"ok": true}'::jsonb])`, id)

	job := f.job(t, id)
	require.Equal(t, []any{penstock.Completed, 2, 1}, []any{job.State, job.Attempt, job.Failures})
	require.Len(t, job.Attempts, 2)
	first, second := job.Attempts[0], job.Attempts[1]
	require.Equal(t, []any{1, "failed", "IOError", "disk full", f.worker}, []any{first.Attempt, first.Outcome, first.ErrorClass, first.Message, first.WorkerID})
	require.Equal(t, penstock.Milliseconds(time.Second), *first.Wait)
	require.GreaterOrEqual(t, *first.Ran, penstock.Milliseconds(2*time.Second))
	require.Less(t, *first.Ran, penstock.Milliseconds(2*time.Second+patience))
	require.Equal(t, []any{2, "completed"}, []any{second.Attempt, second.Outcome})
	require.JSONEq(t, `{"ok": true}`, string(second.Result))
	require.Equal(t, second.FinishedAt, *job.FinishedAt)

	cancelled := f.enqueue(t, penstock.NewJob{})
	_, err := f.client.Cancel(t.Context(), cancelled)
	require.NoError(t, err)
	only := f.job(t, cancelled).Attempts[0]
	require.Nil(t, only.ClaimedAt, "it ended without a claim")
	require.Nil(t, only.Wait)
	require.Nil(t, only.Ran)

	_, err = f.client.Job(t.Context(), 4711)
	require.ErrorIs(t, err, penstock.ErrJobNotFound)
}

func TestUnknownJobsAreNotFoundByAnyVerb(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, id := range []int64{-1, 0, 4711, 1 << 62} {
		_, cancelErr := f.client.Cancel(t.Context(), id)
		_, jobErr := f.client.Job(t.Context(), id)
		_, waitErr := f.client.Wait(t.Context(), id)
		_, explainErr := f.client.Explain(t.Context(), id)
		for verb, err := range []error{cancelErr, jobErr, waitErr, explainErr} {
			require.ErrorIs(t, err, penstock.ErrJobNotFound, fmt.Sprint(verb))
		}
		changed, err := f.client.RunNow(t.Context(), id)
		require.NoError(t, err)
		require.False(t, changed)
	}
	require.False(t, errors.Is(penstock.ErrJobNotFound, penstock.ErrDeadJobNotFound))
}
