package penstock

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/maintain"
	"github.com/penstock/penstock/internal/safetext"
	"github.com/penstock/penstock/internal/wait"
)

// TaskClient reads and changes the scheduled tasks that keep the database in order, such
// as creating partitions: client.Tasks. Servers and workers run them.
type TaskClient struct{ *scope }

// Task is a scheduled task, which servers and workers run for the database, one of them at
// a time, and how the last run ended.
type Task struct {
	Name        string               `json:"name"`
	Description string               `json:"description"`
	Schedule    string               `json:"schedule"` // see TaskChange
	TimeZone    string               `json:"timeZone"`
	Paused      bool                 `json:"paused"`
	Settings    map[string]int64     `json:"settings"` // of those in Limits
	Limits      map[string]TaskLimit `json:"limits"`

	NextRunAt *time.Time `json:"nextRunAt,omitempty"` // the next tick, or try after a failure; none while paused
	AskedAt   *time.Time `json:"askedAt,omitempty"`   // a run was asked for and has not ended yet
	Running   bool       `json:"running"`
	Runner    string     `json:"runner,omitempty"` // host:pid of the process that runs it or did last

	StartedAt *time.Time `json:"startedAt,omitempty"` // the last start, of a run under way or the last one

	// The last run that ended.
	FinishedAt *time.Time      `json:"finishedAt,omitempty"`
	Duration   *Milliseconds   `json:"duration,omitempty"`
	Outcome    TaskOutcome     `json:"outcome,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	Error      string          `json:"error,omitempty"`

	SucceededAt         *time.Time `json:"succeededAt,omitempty"`
	ConsecutiveFailures int        `json:"consecutiveFailures"`
	Runs                int64      `json:"runs"`
	Failures            int64      `json:"failures"`
}

// TaskLimit is what a setting of a task may be.
type TaskLimit struct {
	Least int64  `json:"least"`
	Most  int64  `json:"most"`
	Unit  string `json:"unit"` // ms, days …
}

// TaskOutcome is how a run of a task ended.
type TaskOutcome string

// How a run of a task ends.
const (
	TaskCompleted TaskOutcome = "completed"
	TaskFailed    TaskOutcome = "failed"   // tried again with growing waits, by the next tick at the latest
	TaskReleased  TaskOutcome = "released" // its process stopped; the run is made again at once
	TaskLost      TaskOutcome = "lost"     // its process died or stood still; the run is made again
)

// TaskRun is one run of a scheduled task.
type TaskRun struct {
	ID         int64           `json:"id,string"`
	Task       string          `json:"task"`
	DueAt      *time.Time      `json:"dueAt,omitempty"` // none when it was asked for by Run
	StartedAt  time.Time       `json:"startedAt"`
	FinishedAt time.Time       `json:"finishedAt"`
	Duration   Milliseconds    `json:"duration"`
	Outcome    TaskOutcome     `json:"outcome"`
	Runner     string          `json:"runner"`
	Result     json.RawMessage `json:"result,omitempty"`
	Error      string          `json:"error,omitempty"`
}

// List returns the scheduled tasks by name.
func (c TaskClient) List(ctx context.Context) ([]Task, error) {
	rows, err := c.queries.ListTasks(ctx)
	if err != nil {
		return nil, translate("list tasks", err)
	}
	tasks := make([]Task, len(rows))
	for i, r := range rows {
		if tasks[i], err = readTask(r); err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// Get returns one scheduled task. Errors: ErrTaskNotFound.
func (c TaskClient) Get(ctx context.Context, name string) (Task, error) {
	r, err := c.queries.GetTask(ctx, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return Task{}, fmt.Errorf("get task %s: %w", safetext.Clip(name, 60), ErrTaskNotFound)
	} else if err != nil {
		return Task{}, translate("get task", err)
	}
	return readTask(r)
}

// TaskChange is what Set changes; zero fields stay as they are.
//
// A schedule is a cron expression of five fields (minute, hour, day of month, month,
// day of week) or six (seconds before them), one of @hourly, @daily, @weekly, @monthly
// and @yearly, or "@every 90s": at whole multiples of 1 s to 366 days since 1970. A
// day must match the day of month or the day of week when both are restricted.
//
// It counts by the clock on the wall of TimeZone. What daylight saving leaves out is
// made up for when the gap ends, once. When the clock is put back, what has a fixed
// hour runs the first time only; what runs every hour goes on as the minutes pass.
type TaskChange struct {
	Schedule string           `json:"schedule,omitempty"` // up to 200 characters
	TimeZone string           `json:"timeZone,omitempty"` // a name such as Europe/Berlin
	Paused   *bool            `json:"paused,omitempty"`
	Settings map[string]int64 `json:"settings,omitempty"` // only those to change; see Task.Limits
}

// Set changes a scheduled task from its next run on. Ticks that went by while it
// was paused, or under an older schedule, are not made up for; those that went by
// while no server or worker ran are, by one run. Errors: ErrTaskNotFound,
// *ArgumentError.
func (c TaskClient) Set(ctx context.Context, name string, change TaskChange) error {
	now, err := c.queries.GetTask(ctx, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("set task %s: %w", safetext.Clip(name, 60), ErrTaskNotFound)
	} else if err != nil {
		return translate("set task", err)
	}
	schedule, zone := cmp.Or(change.Schedule, now.Schedule), cmp.Or(change.TimeZone, now.TimeZone)
	if change.Schedule != "" || change.TimeZone != "" {
		if _, err := maintain.ParseSchedule(schedule, zone); err != nil {
			return refusedSchedule(change, schedule, zone, err)
		}
	}
	p := db.SetTaskParams{
		Task: name, Schedule: optional(change.Schedule), TimeZone: optional(change.TimeZone), Paused: change.Paused,
	}
	if change.Settings != nil {
		if p.Settings, err = json.Marshal(change.Settings); err != nil {
			return fmt.Errorf("set task: %w", err)
		}
	}
	var known bool
	err = c.acting(ctx, func(q *db.Queries) (err error) {
		known, err = q.SetTask(ctx, p)
		return err
	})
	if err != nil {
		return translate("set task", err)
	}
	if !known {
		return fmt.Errorf("set task %s: %w", safetext.Clip(name, 60), ErrTaskNotFound)
	}
	return translate("plan task", c.plan(ctx, name))
}

// refusedSchedule is the error of a schedule, with the argument that is wrong.
func refusedSchedule(change TaskChange, schedule, zone string, err error) error {
	if _, zoneErr := maintain.ParseSchedule("@daily", zone); zoneErr != nil && change.TimeZone != "" {
		return refuse("time_zone", "a name such as UTC or Europe/Berlin", fmt.Sprintf("%q", zone))
	}
	return refuse("schedule", "a cron expression, @daily or @every 90s",
		fmt.Sprintf("%q: %v", safetext.Clip(schedule, 60), safetext.Clip(err.Error(), 200)))
}

// plan computes the next run at once. Otherwise the next server or worker that checks
// would do it.
func (c TaskClient) plan(ctx context.Context, name string) error {
	unplanned, err := c.queries.ListUnplannedTasks(ctx, []string{name})
	for _, u := range unplanned {
		next, bad := maintain.NextTick(u.Schedule, u.TimeZone, u.Moment)
		if bad != nil {
			continue // it was changed by SQL; the scheduler logs it
		}
		_, err = c.queries.PlanTask(ctx, db.PlanTaskParams{
			Task: u.Name, Schedule: u.Schedule, TimeZone: u.TimeZone, NextRunAt: &next,
		})
	}
	return err
}

// Pause stops a task from running until it is resumed. A run under way continues.
// Errors: ErrTaskNotFound.
func (c TaskClient) Pause(ctx context.Context, name string) error {
	paused := true
	return c.Set(ctx, name, TaskChange{Paused: &paused})
}

// Resume lets a paused task run again, from its next tick on. Errors:
// ErrTaskNotFound.
func (c TaskClient) Resume(ctx context.Context, name string) error {
	paused := false
	return c.Set(ctx, name, TaskChange{Paused: &paused})
}

// Run asks for a run of a task, paused or not, and returns when it was asked.
// One of the servers and workers starts it, within a second or so. The schedule stays as
// it is. Errors: ErrTaskNotFound. Wait waits for the run.
func (c TaskClient) Run(ctx context.Context, name string) (askedAt time.Time, err error) {
	err = c.acting(ctx, func(q *db.Queries) (err error) {
		askedAt, err = q.RunTask(ctx, name)
		return err
	})
	if err != nil {
		return askedAt, translate("run task", err)
	}
	if askedAt.Equal(time.Unix(0, 0)) {
		return time.Time{}, fmt.Errorf("run task %s: %w", safetext.Clip(name, 60), ErrTaskNotFound)
	}
	return askedAt.UTC(), nil
}

// awaitPoll is how often Wait checks.
const awaitPoll = 250 * time.Millisecond

// Wait waits until a run that Run asked for has completed or failed, and
// returns it. Errors: that of ctx when it ends first; ErrTaskNotFound.
func (c TaskClient) Wait(ctx context.Context, name string, askedAt time.Time) (TaskRun, error) {
	for {
		r, err := c.queries.RunSince(ctx, db.RunSinceParams{Task: name, AskedAt: askedAt})
		switch {
		case err == nil:
			return readRun(r), nil
		case !errors.Is(err, pgx.ErrNoRows):
			return TaskRun{}, translate("await task run", err)
		}
		if wait.For(ctx, awaitPoll); ctx.Err() != nil {
			return TaskRun{}, fmt.Errorf("await task run: %w", context.Cause(ctx))
		}
	}
}

// TaskRunQuery asks for a page of task runs.
type TaskRunQuery struct {
	Task   string // empty: every task
	Limit  int    // 1–500; 0: 50
	Cursor string // Next of an earlier page of the same query
}

// Runs returns ended runs, newest first. They are kept for as long as the setting
// taskRuns of the task prune says. Errors: *ArgumentError.
func (c TaskClient) Runs(ctx context.Context, q TaskRunQuery) (Page[TaskRun], error) {
	page := Page[TaskRun]{Items: []TaskRun{}}
	n, err := pageSize(q.Limit)
	if err != nil {
		return page, err
	}
	digest := queryDigest("task runs", q.Task)
	key, err := readCursor(q.Cursor, digest)
	if err != nil {
		return page, err
	}
	p := db.ListTaskRunsParams{Task: optional(q.Task), RowLimit: n}
	if key != nil {
		p.BeforeID = &key.ID
	}
	rows, err := c.queries.ListTaskRuns(ctx, p)
	if err != nil {
		return page, translate("list task runs", err)
	}
	for _, r := range rows {
		page.Items = append(page.Items, readRun(r))
	}
	if len(rows) == int(n) {
		page.Next = cursor{Query: digest, ID: rows[n-1].ID}.String()
	}
	return page, nil
}

func readTask(r db.ScheduledTask) (Task, error) {
	t := Task{
		Name: r.Name, Description: r.Description, Schedule: r.Schedule, TimeZone: r.TimeZone, Paused: r.Paused,
		AskedAt: utc(r.AskedAt), Running: r.LeaseUntil != nil, Runner: value(r.Runner), StartedAt: utc(r.StartedAt),
		FinishedAt: utc(r.FinishedAt),
		Duration:   (*Milliseconds)(r.Duration), Outcome: TaskOutcome(value(r.Outcome)), Result: r.Result, Error: value(r.Error),
		SucceededAt: utc(r.SucceededAt), ConsecutiveFailures: int(r.ConsecutiveFailures), Runs: r.Runs, Failures: r.Failures,
	}
	if !r.Paused {
		t.NextRunAt = utc(r.NextRunAt)
	}
	if err := json.Unmarshal(r.Settings, &t.Settings); err != nil {
		return t, fmt.Errorf("read the settings of task %s: %w", r.Name, err)
	}
	if err := json.Unmarshal(r.Limits, &t.Limits); err != nil {
		return t, fmt.Errorf("read the limits of task %s: %w", r.Name, err)
	}
	return t, nil
}

func readRun(r db.TaskRun) TaskRun {
	return TaskRun{
		ID: r.ID, Task: r.Task, DueAt: utc(r.DueAt), StartedAt: r.StartedAt.UTC(), FinishedAt: r.FinishedAt.UTC(),
		Duration: Milliseconds(r.FinishedAt.Sub(r.StartedAt)), Outcome: TaskOutcome(r.Outcome), Runner: r.Runner,
		Result: r.Result, Error: value(r.Error),
	}
}
