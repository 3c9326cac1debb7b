package maintain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/safetext"
)

// task does one run of a scheduled task. settings are those of its row. Its result is
// recorded. It must return soon after ctx ends.
type task func(ctx context.Context, settings json.RawMessage) (result any, err error)

const (
	taskPoll  = time.Second
	taskLease = 30 * time.Second
	mostError = 4000 // bytes
	// finishTimeout is how long a stopping process waits for a run to be recorded.
	finishTimeout = 5 * time.Second
)

// errTaskLost ends a run whose lease another process has.
var errTaskLost = errors.New("the lease of this run was lost")

// scheduler runs the tasks that this binary knows, when their rows in scheduled_tasks are
// due. Each run has a goroutine of its own, so a long one delays no other. Invariant: a
// run is recorded by the process that holds its lease, or as lost by the next one.
type scheduler struct {
	queries *db.Queries
	log     func() *slog.Logger
	tasks   map[string]task
	names   []string
	lease   time.Duration
	runner  string
	runs    sync.WaitGroup
}

func newScheduler(queries *db.Queries, log func() *slog.Logger, tasks map[string]task) *scheduler {
	host, _ := os.Hostname() // empty is as good
	return &scheduler{
		queries: queries, log: log, tasks: tasks, names: slices.Sorted(maps.Keys(tasks)), lease: taskLease,
		runner: fmt.Sprintf("%s:%d", host, os.Getpid()),
	}
}

// run checks for due tasks every second until ctx ends, and then waits for its runs.
func (s *scheduler) run(ctx context.Context) {
	defer s.runs.Wait()
	tick := time.NewTicker(taskPoll)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := s.startDue(ctx); err != nil && ctx.Err() == nil {
			s.log().Warn("could not check for due tasks; trying again", "step", "tasks", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// startDue plans tasks that have no next run and starts those that it can claim.
func (s *scheduler) startDue(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	unplanned, err := s.queries.ListUnplannedTasks(within, s.names)
	if err != nil {
		return err
	}
	for _, u := range unplanned {
		if err := s.plan(within, u); err != nil {
			return err
		}
	}
	for {
		claimed, err := s.queries.ClaimTask(within, db.ClaimTaskParams{Known: s.names, Runner: s.runner, Lease: s.lease})
		if err != nil || len(claimed) == 0 {
			return err
		}
		s.runs.Go(func() { s.perform(ctx, claimed[0]) })
	}
}

func (s *scheduler) plan(ctx context.Context, u db.ListUnplannedTasksRow) error {
	p := db.PlanTaskParams{Task: u.Name, Schedule: u.Schedule, TimeZone: u.TimeZone}
	if next, err := NextTick(u.Schedule, u.TimeZone, u.Moment); err != nil {
		problem := fmt.Sprintf("its schedule %q cannot be kept: %v", u.Schedule, err)
		p.Problem = &problem
	} else {
		p.NextRunAt = &next
	}
	changed, err := s.queries.PlanTask(ctx, p)
	if changed && p.Problem != nil {
		s.log().Warn("a task is never due", "step", "tasks", "task", u.Name, "error", *p.Problem)
	}
	return err
}

// NextTick returns the first moment after another at which a schedule is due.
func NextTick(schedule, zone string, after time.Time) (time.Time, error) {
	s, err := ParseSchedule(schedule, zone)
	if err != nil {
		return time.Time{}, err
	}
	next := s.Next(after)
	if next.IsZero() {
		return next, errors.New("it never falls due")
	}
	return next, nil
}

// perform does one claimed run and records how it ended.
func (s *scheduler) perform(ctx context.Context, t db.ScheduledTask) {
	end := db.FinishTaskParams{Task: t.Name, Attempt: t.Attempt, Schedule: t.Schedule, TimeZone: t.TimeZone, Outcome: "completed"}
	if next, err := NextTick(t.Schedule, t.TimeZone, *t.StartedAt); err == nil {
		end.NextRunAt = &next // else it has none, and plan says why
	}
	running, cancel := context.WithCancelCause(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() { s.keep(running, t, cancel) })
	result, err := s.tasks[t.Name].safely(running, t.Settings)
	lost := errors.Is(context.Cause(running), errTaskLost)
	cancel(nil)
	keeping.Wait()
	if err == nil {
		end.Result, err = json.Marshal(result)
	}
	switch {
	case lost:
		s.log().Warn("lost the lease of a task run; another process runs the task now", "step", "tasks", "task", t.Name)
		return
	case err != nil && ctx.Err() != nil:
		end.Outcome = "released"
	case err != nil:
		text := safetext.Clean(err.Error(), mostError)
		end.Outcome, end.Error = "failed", &text
		s.log().Warn("a task failed; trying again", "step", "tasks", "task", t.Name, "error", err)
	}
	finishing, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer stop()
	if _, err := s.queries.FinishTask(finishing, end); err != nil {
		s.log().Warn("could not record a task run; the task runs again", "step", "tasks", "task", t.Name, "error", err)
	}
}

// keep extends the lease of a run until ctx ends, and ends the run when it is lost.
func (s *scheduler) keep(ctx context.Context, t db.ScheduledTask, end context.CancelCauseFunc) {
	tick := time.NewTicker(s.lease / 3)
	defer tick.Stop()
	kept := time.Now() // by this process's clock, which can only give up too early
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		extending, cancel := context.WithTimeout(ctx, s.lease/3)
		asked := time.Now()
		ours, err := s.queries.ExtendTask(extending, db.ExtendTaskParams{Task: t.Name, Attempt: t.Attempt, Lease: s.lease})
		cancel()
		switch {
		case err == nil && ours:
			kept = asked
		case err == nil, time.Since(kept) > s.lease:
			end(errTaskLost)
			return
		}
	}
}

// safely runs the task and turns a panic into an error.
func (t task) safely(ctx context.Context, settings json.RawMessage) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return t(ctx, settings)
}
