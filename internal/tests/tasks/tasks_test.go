// Package tasks_test proves the scheduled tasks as their operators see them: the
// library's verbs on real PostgreSQL, with a library-only worker that keeps the tasks.
// The runner itself is tested beside it, in internal/maintain.
package tasks_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const patience = 60 * time.Second

type fixture struct {
	*testkit.DB
	client *penstock.Client
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	d := testkit.New(t)
	client, err := penstock.NewClient(d.Pool, penstock.Config{})
	require.NoError(t, err)
	return &fixture{d, client}
}

func (f *fixture) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := f.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func (f *fixture) task(t *testing.T, name string) penstock.Task {
	t.Helper()
	task, err := f.client.Tasks.Get(t.Context(), name)
	require.NoError(t, err)
	return task
}

// work runs a worker, which keeps the tasks too, until the test ends.
func (f *fixture) work(t *testing.T) {
	t.Helper()
	w, err := penstock.NewWorker(f.client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {}}})
	require.NoError(t, err)
	penstock.Handle(w, "q", "n", func(context.Context, *penstock.Job[struct{}]) error { return nil })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// runNow runs a task and waits for its end.
func (f *fixture) runNow(t *testing.T, name string) penstock.TaskRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	askedAt, err := f.client.Tasks.Run(ctx, name)
	require.NoError(t, err)
	run, err := f.client.Tasks.Wait(ctx, name, askedAt)
	require.NoError(t, err)
	return run
}

func TestTheSeedsTasksAreThereByDefault(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tasks, err := f.client.Tasks.List(t.Context())
	require.NoError(t, err)
	schedules := map[string]string{}
	for _, task := range tasks {
		require.Equal(t, "UTC", task.TimeZone)
		require.NotEmpty(t, task.Description)
		for name, value := range task.Settings {
			require.LessOrEqual(t, task.Limits[name].Least, value)
			require.GreaterOrEqual(t, task.Limits[name].Most, value)
		}
		schedules[task.Name] = task.Schedule
	}
	for name, schedule := range map[string]string{"dlq-retries": "* * * * *", "dlq-purge": "0 2 * * *", "partitions": "0 * * * *"} {
		require.Equal(t, schedule, schedules[name], name)
	}
}

func TestARunByHandTellsItsResultAndLeavesTheScheduleAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.client.Tasks.Pause(t.Context(), "partitions"))
	f.work(t)
	require.NoError(t, f.client.Tasks.Set(t.Context(), "partitions", penstock.TaskChange{Settings: map[string]int64{"daysAhead": 9}}))
	run := f.runNow(t, "partitions")
	require.Equal(t, penstock.TaskCompleted, run.Outcome)
	require.JSONEq(t, `{"made": 2, "dropped": 0}`, string(run.Result))
	require.Nil(t, run.DueAt)
	task := f.task(t, "partitions")
	require.True(t, task.Paused)
	require.Nil(t, task.AskedAt)
	require.Nil(t, task.NextRunAt)
	require.Equal(t, run.Duration, *task.Duration)

	purge := f.task(t, "dlq-purge")
	f.runNow(t, "dlq-purge")
	require.Equal(t, purge.NextRunAt, f.task(t, "dlq-purge").NextRunAt)

	again := f.runNow(t, "partitions")
	require.JSONEq(t, `{"made": 0, "dropped": 0}`, string(again.Result))
	page, err := f.client.Tasks.Runs(t.Context(), penstock.TaskRunQuery{Task: "partitions", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []penstock.TaskRun{again}, page.Items)
	page, err = f.client.Tasks.Runs(t.Context(), penstock.TaskRunQuery{Task: "partitions", Limit: 1, Cursor: page.Next})
	require.NoError(t, err)
	require.Equal(t, []penstock.TaskRun{run}, page.Items)
}

func TestAFailingTaskIsRecordedAndSucceedsOnceItsCauseIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `ALTER TABLE penstock.idempotency_keys RENAME TO elsewhere`)
	f.exec(t, `UPDATE penstock.scheduled_tasks SET next_run_at = now() WHERE name = 'prune'`)
	f.work(t)
	require.Eventually(t, func() bool { return f.task(t, "prune").ConsecutiveFailures > 0 }, patience, 50*time.Millisecond)
	task := f.task(t, "prune")
	require.Equal(t, penstock.TaskFailed, task.Outcome)
	require.Contains(t, task.Error, "prune idempotencyKeys: ")
	require.Less(t, task.NextRunAt.Sub(*task.FinishedAt), time.Minute)
	f.exec(t, `ALTER TABLE penstock.elsewhere RENAME TO idempotency_keys`)
	require.Equal(t, penstock.TaskCompleted, f.runNow(t, "prune").Outcome)
	task = f.task(t, "prune")
	require.Zero(t, task.ConsecutiveFailures)
	require.Empty(t, task.Error)
}

func TestAChangeOfATaskCountsFromNowOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	f.exec(t, `UPDATE penstock.scheduled_tasks SET next_run_at = now() - interval '3 days' WHERE name = 'dlq-purge'`)
	require.NoError(t, f.client.Tasks.Pause(ctx, "dlq-purge"))
	require.NoError(t, f.client.Tasks.Pause(ctx, "dlq-purge"))
	require.NoError(t, f.client.Tasks.Resume(ctx, "dlq-purge"))
	next := f.task(t, "dlq-purge").NextRunAt
	require.Greater(t, *next, time.Now(), "what a pause kept back is not made up for")
	require.Equal(t, "02:00", next.Format("15:04"))
	require.NoError(t, f.client.Tasks.Resume(ctx, "dlq-purge"))
	require.Equal(t, next, f.task(t, "dlq-purge").NextRunAt)
	require.NoError(t, f.client.Tasks.Set(ctx, "dlq-purge", penstock.TaskChange{TimeZone: "Asia/Kathmandu"}))
	require.Equal(t, "20:15", f.task(t, "dlq-purge").NextRunAt.Format("15:04"))
}

func TestEveryChangeOfATaskIsInTheAuditLogAndNoRunIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann := f.client.As("ann")
	require.NoError(t, ann.Tasks.Set(t.Context(), "prune", penstock.TaskChange{Schedule: "@hourly", Settings: map[string]int64{"taskRuns": 7_200_000}}))
	require.NoError(t, ann.Tasks.Pause(t.Context(), "prune"))
	_, err := ann.Tasks.Run(t.Context(), "prune")
	require.NoError(t, err)
	f.work(t)
	f.runNow(t, "dlq-retries")
	page, err := f.client.Audit.List(t.Context(), penstock.AuditQuery{Limit: 50})
	require.NoError(t, err)
	var actions []string
	for _, line := range page.Items {
		actions = append(actions, line.Actor+" "+line.Action)
	}
	require.Equal(t, []string{"postgres scheduled_tasks.run", "ann scheduled_tasks.run", "ann scheduled_tasks.update", "ann scheduled_tasks.update"}, actions)
	require.JSONEq(t, `{"name": "prune", "schedule": "@hourly", "time_zone": "UTC", "paused": false, "settings": {"taskRuns": 7200000}}`,
		string(page.Items[3].After))
}

func TestWhatATaskRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	settings := func(name string, n int64) penstock.TaskChange {
		return penstock.TaskChange{Settings: map[string]int64{name: n}}
	}
	for _, c := range []struct {
		name, task string
		change     penstock.TaskChange
		argument   string
	}{
		{"a schedule that never comes", "prune", penstock.TaskChange{Schedule: "0 0 30 2 *"}, "schedule"},
		{"a zone within the schedule", "prune", penstock.TaskChange{Schedule: "TZ=0"}, "schedule"},
		{"a schedule without an end", "prune", penstock.TaskChange{Schedule: strings.Repeat("* ", 1<<20)}, "schedule"},
		{"a NUL", "prune", penstock.TaskChange{Schedule: "@daily\x00"}, "schedule"},
		{"a line break within", "prune", penstock.TaskChange{Schedule: "0 2\n* * *"}, "schedule"},
		{"a zone that is nowhere", "prune", penstock.TaskChange{TimeZone: "Mars/Olympus"}, "time_zone"},
		{"a zone that is a path", "prune", penstock.TaskChange{TimeZone: "../../etc/localtime"}, "time_zone"},
		{"a setting below its least", "partitions", settings("daysAhead", 0), "settings.daysAhead"},
		{"a setting beyond its most", "partitions", settings("daysAhead", math.MaxInt64), "settings.daysAhead"},
		{"a setting of another task", "partitions", settings("taskRuns", 5), "settings"},
		{"a setting of a task that has none", "dlq-retries", settings("taskRuns", 5), "settings"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := f.task(t, c.task)
			err := f.client.Tasks.Set(t.Context(), c.task, c.change)
			var refusal *penstock.ArgumentError
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, c.argument, refusal.Argument, refusal.Message)
			require.Less(t, len(refusal.Message), 400)
			require.Equal(t, before, f.task(t, c.task))
		})
	}
	for _, sql := range []string{
		`SELECT penstock.set_task('partitions', settings => '{"daysAhead": "7"}')`,
		`SELECT penstock.set_task('partitions', settings => '{"daysAhead": 7.5}')`,
		`SELECT penstock.set_task('partitions', settings => '{"daysAhead": null}')`,
		`SELECT penstock.set_task('partitions', settings => '[]')`,
		`SELECT penstock.set_task('partitions', schedule => '')`,
		`SELECT penstock.claim_task('{prune}', '', '0')`,
	} {
		_, err := f.Pool.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "PN400", sql)
	}
	for name, do := range map[string]func() error{
		"get":   func() error { _, err := f.client.Tasks.Get(t.Context(), "nope"); return err },
		"set":   func() error { return f.client.Tasks.Set(t.Context(), "nope", penstock.TaskChange{}) },
		"pause": func() error { return f.client.Tasks.Pause(t.Context(), "") },
		"run":   func() error { _, err := f.client.Tasks.Run(t.Context(), "nope"); return err },
	} {
		require.ErrorIs(t, do(), penstock.ErrTaskNotFound, name)
	}
}

func TestATaskAsJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text, err := json.Marshal(f.task(t, "partitions"))
	require.NoError(t, err)
	require.JSONEq(t, `{"name": "partitions", "description": "Makes the partitions of the coming days, and drops those past retention.",
		"schedule": "0 * * * *", "timeZone": "UTC", "paused": false, "settings": {"daysAhead": 7},
		"limits": {"daysAhead": {"least": 1, "most": 366, "unit": "days"}}, "running": false, "consecutiveFailures": 0, "runs": 0, "failures": 0}`,
		string(text))
}
