package deadletter_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestAWaitingJobIsReprioritized(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, second := f.enqueue(t, penstock.NewJob{}), f.enqueue(t, penstock.NewJob{})
	for priority, weight := range map[penstock.Priority]int{penstock.Weight(70): 70, penstock.Critical: 20} {
		changed, err := f.client.Reprioritize(t.Context(), second, priority)
		require.NoError(t, err)
		require.True(t, changed)
		require.Equal(t, weight, f.job(t, second).Priority)
	}
	for _, odd := range []penstock.Priority{"", "101", "0", "0101", "-1", "urgent", "1e2", "5 "} {
		_, err := f.client.Reprioritize(t.Context(), second, odd)
		refused(t, err, "priority")
	}
	require.Equal(t, []int64{second, first}, f.claim(t, "q", 10), "it overtakes")
	changed, err := f.client.Reprioritize(t.Context(), second, penstock.Low)
	require.NoError(t, err)
	require.False(t, changed, "it runs")
}

func TestAWaitingJobIsRescheduledAndRunNow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, penstock.NewJob{})
	later := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	changed, err := f.client.Reschedule(t.Context(), id, later)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, later, f.job(t, id).RunAt)
	require.Equal(t, penstock.Scheduled, f.state(t, id))
	require.Empty(t, f.claim(t, "q", 1))

	before := ask[time.Time](t, f, "SELECT clock_timestamp()")
	changed, err = f.client.Reschedule(t.Context(), id, time.Unix(0, 0))
	require.NoError(t, err)
	require.True(t, changed)
	require.False(t, f.job(t, id).RunAt.Before(before), "never behind the clock")
	_, err = f.client.Reschedule(t.Context(), id, time.Now().AddDate(101, 0, 0))
	refused(t, err, "run_at")

	_, err = f.client.Reschedule(t.Context(), id, later)
	require.NoError(t, err)
	changed, err = f.client.RunNow(t.Context(), id)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, []int64{id}, f.claim(t, "q", 1))
	for _, change := range []func() (bool, error){
		func() (bool, error) { return f.client.RunNow(t.Context(), id) },
		func() (bool, error) { return f.client.Reschedule(t.Context(), id, later) },
	} {
		changed, err = change()
		require.NoError(t, err)
		require.False(t, changed, "it runs")
	}
}

func TestRunNowWakesASleepingWorker(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ran := make(chan int64, 1)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deploy", func(_ context.Context, job *penstock.Job[struct{}]) error {
			ran <- job.ID
			return nil
		})
	})
	id := f.enqueue(t, penstock.NewJob{Delay: time.Hour})
	changed, err := f.client.RunNow(t.Context(), id)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, id, next(t, ran))
}

func TestAChangeByFilterTouchesWhatItFindsAndIsRecorded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	later := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	for _, c := range []struct {
		action   penstock.Action
		argument string
		check    func(t *testing.T, id int64)
	}{
		{penstock.ActionCancel, "", func(t *testing.T, id int64) { require.Equal(t, penstock.Cancelled, f.state(t, id)) }},
		{penstock.ActionRunNow, "", func(t *testing.T, id int64) { require.Equal(t, penstock.Waiting, f.state(t, id)) }},
		{penstock.ActionReprioritize, "critical", func(t *testing.T, id int64) { require.Equal(t, 20, f.job(t, id).Priority) }},
		{penstock.ActionReschedule, later.Format(time.RFC3339Nano), func(t *testing.T, id int64) { require.Equal(t, later, f.job(t, id).RunAt) }},
	} {
		t.Run(string(c.action), func(t *testing.T) {
			queue := string(c.action)
			wanted := f.enqueue(t, penstock.NewJob{Queue: queue, Name: "a", Delay: 2 * time.Hour})
			other := f.enqueue(t, penstock.NewJob{Queue: queue, Name: "b", Delay: 2 * time.Hour})
			was := f.job(t, other)
			filter := penstock.JobFilter{Queue: queue, State: penstock.Scheduled, Name: "a"}
			count, err := f.client.CountJobs(t.Context(), filter, 10)
			require.NoError(t, err)
			require.Equal(t, 1, count.Jobs, "the dry run")
			n, err := f.client.As("ann").ChangeJobs(t.Context(), c.action, filter, c.argument, nil)
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
			c.check(t, wanted)
			require.Equal(t, was, f.job(t, other))
			line := lastLine(t, f, queue)
			require.Equal(t, []string{"ann", "jobs." + queue}, []string{line.Actor, line.Action})
			require.Contains(t, string(line.After), `"jobs": 1`)
			require.Contains(t, string(line.After), `"name": "a"`)
		})
	}
}

func TestAChangeByFilterGoesInBatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, "SELECT penstock.enqueue_many('q', array_fill('deploy'::text, ARRAY[2500]), array_fill('{}'::jsonb, ARRAY[2500]))")
	var told []int64
	n, err := f.client.ChangeJobs(t.Context(), penstock.ActionCancel, penstock.JobFilter{Queue: "q", State: penstock.Waiting}, "",
		func(n int64) { told = append(told, n) })
	require.NoError(t, err)
	require.EqualValues(t, 2500, n)
	require.Equal(t, []int64{1000, 2000, 2500}, told)
	require.Equal(t, 2500, ask[int](t, f, "SELECT count(*) FROM penstock.job_states WHERE state = 'cancelled'"))
	require.Equal(t, 3, ask[int](t, f, "SELECT count(*) FROM penstock.audit_log WHERE action = 'jobs.cancel'"))
}

func TestAChangeThatMakesNoSenseIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, penstock.NewJob{Delay: time.Hour})
	was := f.job(t, id)
	for _, c := range []struct {
		action          penstock.Action
		argument, field string
	}{
		{"delete", "", "action"},
		{"", "", "action"},
		{penstock.ActionReprioritize, "", "priority"},
		{penstock.ActionReprioritize, "sky-high", "priority"},
		{penstock.ActionReschedule, "", "argument"},
		{penstock.ActionReschedule, "tomorrowish", "argument"},
	} {
		for _, filter := range []penstock.JobFilter{{}, {Name: "of no job"}} {
			_, err := f.client.ChangeJobs(t.Context(), c.action, filter, c.argument, nil)
			refused(t, err, c.field)
		}
	}
	require.Equal(t, was, f.job(t, id))
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.audit_log WHERE action LIKE 'jobs.%'"))
}

// Cancels by filter lock rows in the order that finishes do: neither fails.
func TestACancelByFilterAndFinishesOfTheSameJobsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 4 {
		f.exec(t, "SELECT penstock.enqueue_many('q', array_fill('deploy'::text, ARRAY[800]), array_fill('{}'::jsonb, ARRAY[800]))")
		ids := f.claim(t, "q", 800)
		var both sync.WaitGroup
		both.Go(func() {
			_, err := f.client.ChangeJobs(t.Context(), penstock.ActionCancel, penstock.JobFilter{Queue: "q", State: penstock.Running}, "", nil)
			if err != nil {
				t.Errorf("cancel: %v", err)
			}
		})
		both.Go(func() {
			_, err := f.Pool.Exec(t.Context(), "SELECT penstock.finish('q', $1, array_fill(1, ARRAY[800]), array_fill('failed'::text, ARRAY[800]))", ids)
			if err != nil {
				t.Errorf("finish: %v", err)
			}
		})
		both.Wait()
		f.exec(t, "DELETE FROM penstock.pending")
	}
}

func TestWaitReturnsTheFinalStateAndTheResult(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, penstock.NewJob{Name: "deploy"})
	died := f.kill(t, death{NewJob: penstock.NewJob{Queue: "r"}})[0]
	waited := make(chan *penstock.JobInfo, 1)
	go func() {
		job, err := f.client.Wait(t.Context(), id)
		if err != nil {
			t.Errorf("wait: %v", err)
		}
		waited <- job
	}()
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deploy", func(ctx context.Context, _ *penstock.Job[struct{}]) error {
			return penstock.Result(ctx, map[string]string{"address": "0x17"})
		})
	})
	job := next(t, waited)
	require.Equal(t, penstock.Completed, job.State)
	require.JSONEq(t, `{"address": "0x17"}`, string(job.Attempts[0].Result))

	job, err := f.client.Wait(t.Context(), died)
	require.NoError(t, err)
	require.Equal(t, penstock.DeadState, job.State)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.client.Wait(ctx, f.enqueue(t, penstock.NewJob{Delay: time.Hour}))
	require.ErrorIs(t, err, context.Canceled)
}

func TestProgressIsShownWhileTheJobRunsAndKeptWithTheAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	noted, goOn := make(chan error, 3), make(chan struct{})
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deploy", func(ctx context.Context, job *penstock.Job[struct{}]) error {
			noted <- penstock.Progress(ctx, 40, "compiling")
			<-goOn
			noted <- penstock.Progress(ctx, 101, "")
			noted <- penstock.Progress(ctx, 60, short("ä", 300))
			return nil
		})
	})
	id := f.enqueue(t, penstock.NewJob{})
	require.NoError(t, next(t, noted))
	job := f.job(t, id)
	require.Equal(t, []any{penstock.Running, 40, "compiling"}, []any{job.State, *job.Progress, job.ProgressNote})
	close(goOn)
	refused(t, next(t, noted), "percent", "0 to 100")
	require.NoError(t, next(t, noted))
	job, err := f.client.Wait(t.Context(), id)
	require.NoError(t, err)
	require.Nil(t, job.Progress, "it runs no more")
	require.Equal(t, 60, *job.Attempts[0].Progress)
	require.Equal(t, short("ä", 256), job.Attempts[0].ProgressNote)

	require.ErrorContains(t, penstock.Progress(t.Context(), 1, ""), "context a handler was given")
}

func TestProgressOfALostLeaseIsRefused(t *testing.T) { // P5
	t.Parallel()
	f := newFixture(t)
	started, lost, said := make(chan struct{}, 2), make(chan struct{}), make(chan error, 2)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deploy", func(ctx context.Context, job *penstock.Job[struct{}]) error {
			if job.Attempt > 1 {
				return nil
			}
			started <- struct{}{}
			<-lost
			said <- penstock.Progress(ctx, 40, "a zombie's")
			return nil
		})
	})
	id := f.enqueue(t, penstock.NewJob{})
	next(t, started)
	f.exec(t, "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1], ARRAY['released'])", id)
	close(lost)
	require.ErrorIs(t, next(t, said), penstock.ErrLeaseLost)
	job, err := f.client.Wait(t.Context(), id)
	require.NoError(t, err)
	for _, a := range job.Attempts {
		require.Nil(t, a.Progress)
	}
	require.False(t, ask[bool](t, f, "SELECT penstock.progress('q', $1, 1, 50, 'in SQL')", id))
}

func TestProgressInSQLIsKeptHoweverTheAttemptEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, outcome := range []string{"completed", "failed", "dead", "snoozed", "cancelled"} {
		id := f.enqueue(t, penstock.NewJob{})
		f.claim(t, "q", 1)
		require.True(t, ask[bool](t, f, "SELECT penstock.progress('q', $1, 1, 50, 'half')", id))
		require.False(t, ask[bool](t, f, "SELECT penstock.progress('q', $1, 2, 50, 'half')", id), "another attempt")
		f.finish(t, id, outcome)
		first := f.job(t, id).Attempts[0]
		require.Equal(t, []any{50, "half"}, []any{*first.Progress, first.ProgressNote}, outcome)
		f.exec(t, "DELETE FROM penstock.pending")
	}
}
