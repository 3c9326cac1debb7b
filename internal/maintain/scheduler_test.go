package maintain

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/testkit"
)

// patience bounds every wait; a test that needs it all has found a block.
const patience = 60 * time.Second

func exec1(t *testing.T, d *testkit.DB, sql string, args ...any) {
	t.Helper()
	_, err := d.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func ask[T any](t *testing.T, d *testkit.DB, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, d.Pool.QueryRow(t.Context(), sql, args...).Scan(&v), sql)
	return v
}

// until waits for a condition that the database answers.
func until(t *testing.T, d *testkit.DB, condition string, args ...any) {
	t.Helper()
	sql := "SELECT coalesce((SELECT " + condition + "), false)"
	require.Eventually(t, func() bool { return ask[bool](t, d, sql, args...) }, patience, 20*time.Millisecond, condition)
}

// addTask makes a task that is due now, and then by the schedule.
func addTask(t *testing.T, d *testkit.DB, name, schedule string) {
	t.Helper()
	exec1(t, d, `INSERT INTO penstock.scheduled_tasks (name, description, schedule, next_run_at)
		VALUES ($1, '', $2, now() - interval '1 second')`, name, schedule)
}

func getTask(t *testing.T, d *testkit.DB, name string) db.ScheduledTask {
	t.Helper()
	row, err := db.New(d.Pool).GetTask(t.Context(), name)
	require.NoError(t, err)
	return row
}

func runsOf(t *testing.T, d *testkit.DB, name string) []db.TaskRun {
	t.Helper()
	runs, err := db.New(d.Pool).ListTaskRuns(t.Context(), db.ListTaskRunsParams{Task: &name, RowLimit: 100})
	require.NoError(t, err)
	return runs
}

// keep runs a scheduler of these tasks until the test, or the returned stop, ends it.
func keep(t *testing.T, d *testkit.DB, tasks map[string]task) (stop func()) {
	t.Helper()
	s := newScheduler(db.New(d.Pool), silent, tasks)
	s.lease = childLease
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func nothing(context.Context, json.RawMessage) (any, error) { return nil, nil }

func TestFiveProcessesRunEveryTickOnce(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	exec1(t, d, `CREATE TABLE marks (pid int)`)
	addTask(t, d, "mark", "* * * * * *")
	children := map[int]*child{}
	for range 5 {
		c := startChild(t, d.URL)
		children[c.cmd.Process.Pid] = c
	}
	// Whoever looks first after a tick runs it: let others be that.
	for n := range 3 {
		until(t, d, `count(*) >= $1 FROM penstock.task_runs`, 4*(n+1))
		first := children[ask[int](t, d, `SELECT split_part(runner, ':', 2)::int FROM penstock.task_runs ORDER BY id DESC LIMIT 1`)]
		require.NoError(t, first.stdin.Close())
	}
	until(t, d, `count(DISTINCT runner) >= 4 FROM penstock.task_runs WHERE outcome = 'completed'`)
	exec1(t, d, `SELECT penstock.set_task('mark', paused => true)`)
	until(t, d, `lease_until IS NULL FROM penstock.scheduled_tasks WHERE name = 'mark'`)
	runs := ask[int](t, d, `SELECT count(*) FROM penstock.task_runs`)
	require.Equal(t, runs, ask[int](t, d, `SELECT count(DISTINCT due_at) FROM penstock.task_runs WHERE outcome = 'completed'`))
	require.Equal(t, runs, ask[int](t, d, `SELECT count(*) FROM marks`))
	require.Zero(t, ask[int](t, d, `SELECT count(*) FROM penstock.task_runs WHERE started_at < due_at`), "none is early")
}

func TestAKilledProcessesRunIsMadeAgain(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	addTask(t, d, "hang", "0 2 * * *")
	first := startChild(t, d.URL)
	first.says(t, "hang")
	require.NoError(t, first.cmd.Process.Kill())
	second := startChild(t, d.URL)
	second.says(t, "hang")
	require.NoError(t, second.stdin.Close())
	until(t, d, `count(*) = 2 FROM penstock.task_runs`)
	runs := runsOf(t, d, "hang")
	require.Equal(t, []string{"released", "lost"}, []string{runs[0].Outcome, runs[1].Outcome})
	require.Equal(t, *runs[1].DueAt, *runs[0].DueAt, "the same tick")
	row := getTask(t, d, "hang")
	require.EqualValues(t, 1, row.ConsecutiveFailures)
	require.True(t, row.NextRunAt.Before(time.Now()), "what was released is due still")
	keep(t, d, map[string]task{"hang": nothing})
	until(t, d, `outcome = 'completed' AND consecutive_failures = 0 FROM penstock.scheduled_tasks WHERE name = 'hang'`)
}

func TestAMissedDailyTickRunsOnce(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	addTask(t, d, "daily", "0 2 * * *")
	exec1(t, d, `UPDATE penstock.scheduled_tasks SET next_run_at = date_trunc('day', now(), 'UTC') - interval '3 days 22 hours' WHERE name = 'daily'`)
	addTask(t, d, "often", "* * * * * *")
	keep(t, d, map[string]task{"daily": nothing, "often": nothing})
	until(t, d, `count(*) >= 3 FROM penstock.task_runs WHERE task = 'often'`)
	require.Len(t, runsOf(t, d, "daily"), 1)
	next := getTask(t, d, "daily").NextRunAt.UTC()
	require.Equal(t, "02:00:00", next.Format(time.TimeOnly))
	require.Greater(t, next, time.Now())
	require.Less(t, time.Until(next), 24*time.Hour)
}

func TestAFailingTaskIsTriedAgainWithGrowingWaitsBeforeItsNextTick(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	var panics atomic.Bool
	addTask(t, d, "bad", "0 0 1 1 *")
	keep(t, d, map[string]task{"bad": func(context.Context, json.RawMessage) (any, error) {
		if panics.Load() {
			panic("out of order")
		}
		return nil, errors.New("no luck\x00\xff")
	}})
	until(t, d, `failures = 1 FROM penstock.scheduled_tasks WHERE name = 'bad'`)
	row := getTask(t, d, "bad")
	require.Equal(t, []string{"failed", "no luck␀�"}, []string{*row.Outcome, *row.Error})
	require.Nil(t, row.SucceededAt)
	panics.Store(true)
	for n, wait := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second} {
		row = getTask(t, d, "bad")
		require.EqualValues(t, n+1, row.ConsecutiveFailures)
		require.Equal(t, wait, row.NextRunAt.Sub(*row.FinishedAt))
		exec1(t, d, `UPDATE penstock.scheduled_tasks SET next_run_at = now() WHERE name = 'bad'`)
		until(t, d, `failures = $1 FROM penstock.scheduled_tasks WHERE name = 'bad'`, n+2)
	}
	require.Contains(t, *getTask(t, d, "bad").Error, "panic: out of order\n")
	require.Equal(t, time.Hour, ask[time.Duration](t, d, `SELECT penstock.task_backoff(1000000000)`))

	addTask(t, d, "soon", "* * * * * *")
	keep(t, d, map[string]task{"soon": func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("no luck") }})
	until(t, d, `failures >= 3 FROM penstock.scheduled_tasks WHERE name = 'soon'`) // no later than its ticks
}

func TestALongTaskDelaysNoShortOneAndKeepsItsLease(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	end := make(chan struct{})
	addTask(t, d, "long", "0 2 * * *")
	addTask(t, d, "short", "* * * * * *")
	tasks := map[string]task{"short": nothing, "long": func(ctx context.Context, _ json.RawMessage) (any, error) {
		select {
		case <-end:
			return counts{"done": 3}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}}
	keep(t, d, tasks)
	keep(t, d, tasks)
	until(t, d, `count(*) >= 6 FROM penstock.task_runs WHERE task = 'short'`)
	require.Empty(t, runsOf(t, d, "long"), "it has outlived three leases and is not run twice")
	close(end)
	until(t, d, `count(*) = 1 FROM penstock.task_runs WHERE task = 'long'`)
	run := runsOf(t, d, "long")[0]
	require.Equal(t, "completed", run.Outcome)
	require.JSONEq(t, `{"done": 3}`, string(run.Result))
	require.Greater(t, run.FinishedAt.Sub(run.StartedAt), childLease)
}

func TestARunThatLostItsLeaseIsEndedAndNotRecorded(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	ended := make(chan error, 10)
	addTask(t, d, "stray", "0 2 * * *")
	keep(t, d, map[string]task{"stray": func(ctx context.Context, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, nil
	}})
	until(t, d, `lease_until IS NOT NULL FROM penstock.scheduled_tasks WHERE name = 'stray'`)
	exec1(t, d, `UPDATE penstock.scheduled_tasks SET attempt = attempt + 1, paused = true WHERE name = 'stray'`) // somebody else's now
	select {
	case err := <-ended:
		require.ErrorIs(t, err, errTaskLost)
	case <-time.After(patience):
		require.FailNow(t, "the run goes on")
	}
	require.Empty(t, runsOf(t, d, "stray"))
	ours, err := db.New(d.Pool).FinishTask(t.Context(), db.FinishTaskParams{Task: "stray", Attempt: 1, Outcome: "completed"})
	require.NoError(t, err)
	require.False(t, ours)
}

func TestAChangeDuringARunKeepsItsOwnPlan(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	began, end := make(chan struct{}), make(chan struct{})
	addTask(t, d, "slow", "* * * * * *")
	keep(t, d, map[string]task{"slow": func(context.Context, json.RawMessage) (any, error) {
		close(began)
		<-end
		return nil, nil
	}})
	<-began
	exec1(t, d, `SELECT penstock.set_task('slow', schedule => '@yearly')`)
	until(t, d, `next_run_at > now() FROM penstock.scheduled_tasks WHERE name = 'slow'`) // planned meanwhile
	close(end)
	until(t, d, `runs = 1 FROM penstock.scheduled_tasks WHERE name = 'slow'`)
	require.Equal(t, time.January, getTask(t, d, "slow").NextRunAt.UTC().Month())
}

func TestATaskWithAScheduleNobodyCanReadSaysSo(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	addTask(t, d, "odd", "0 0 30 2 *") // past SetTask, by SQL
	exec1(t, d, `UPDATE penstock.scheduled_tasks SET next_run_at = NULL WHERE name = 'odd'`)
	addTask(t, d, "fine", "* * * * * *")
	keep(t, d, map[string]task{"odd": nothing, "fine": nothing})
	until(t, d, `runs > 0 FROM penstock.scheduled_tasks WHERE name = 'fine'`)
	row := getTask(t, d, "odd")
	require.Equal(t, `its schedule "0 0 30 2 *" cannot be kept: it never falls due`, *row.Error)
	require.EqualValues(t, 1, row.ConsecutiveFailures)
	require.Zero(t, row.Runs)
}

func TestTasksThatABinaryDoesNotKnowAreLeftToOthers(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	addTask(t, d, "newer", "* * * * * *")
	addTask(t, d, "known", "* * * * * *")
	keep(t, d, map[string]task{"known": nothing})
	until(t, d, `runs > 1 FROM penstock.scheduled_tasks WHERE name = 'known'`)
	require.Zero(t, getTask(t, d, "newer").Attempt)
}

func TestEveryTaskOfTheTableIsKnownAndEveryKnownOneIsInIt(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	rows, err := d.Pool.Query(t.Context(), `SELECT name FROM penstock.scheduled_tasks ORDER BY name`)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, newScheduler(nil, nil, (&maintainer{}).tasks()).names, names)
}

// Every task does its work once, as its row is after the migrations.
func TestEveryTaskCompletes(t *testing.T) {
	t.Parallel()
	d := testkit.New(t)
	exec1(t, d, `UPDATE penstock.scheduled_tasks SET asked_at = now()`)
	exec1(t, d, `INSERT INTO penstock.task_runs (task, attempt, started_at, finished_at, outcome, runner)
		VALUES ('prune', 1000000, now() - interval '4 days', now() - interval '4 days', 'completed', '')`)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); Run(ctx, d.Pool, Config{}) }()
	t.Cleanup(func() { cancel(); <-done })
	until(t, d, `bool_and(outcome IS NOT NULL) FROM penstock.scheduled_tasks`)
	require.Empty(t, ask[string](t, d, `SELECT coalesce(string_agg(name || ': ' || error, ', '), '') FROM penstock.scheduled_tasks`))
	var result map[string]int
	require.NoError(t, json.Unmarshal(getTask(t, d, "prune").Result, &result))
	require.Equal(t, 1, result["taskRuns"])
}
