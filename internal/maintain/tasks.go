package maintain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/penstock/penstock/db"
)

// task is one run of a scheduled task. What it returns is kept as the run's result;
// settings are those of its row. It returns soon after ctx ends.
type task func(ctx context.Context, settings json.RawMessage) (result any, err error)

const (
	taskPoll  = time.Second
	taskLease = 30 * time.Second
	mostError = 4000 // bytes
	// finishTimeout is what a stopping process waits at most for a run to be recorded.
	finishTimeout = 5 * time.Second
)

// errTaskLost ends a run that is no longer this process's.
var errTaskLost = errors.New("the lease of this run was lost")

// scheduler runs the tasks that this binary knows as their rows in scheduled_tasks
// say. Each run has a goroutine of its own, so a long one delays no other. Invariant:
// a run is recorded by the process that holds its lease, or as lost by the next one.
type scheduler struct {
	queries *db.Queries
	log     *zap.Logger
	tasks   map[string]task
	names   []string
	lease   time.Duration
	runner  string
	runs    sync.WaitGroup
}

func newScheduler(queries *db.Queries, log *zap.Logger, tasks map[string]task) *scheduler {
	host, _ := os.Hostname() // empty is as good
	return &scheduler{
		queries: queries, log: log, tasks: tasks, names: slices.Sorted(maps.Keys(tasks)), lease: taskLease,
		runner: fmt.Sprintf("%s:%d", host, os.Getpid()),
	}
}

// run looks for due tasks every second until ctx ends, and then waits for its runs.
func (s *scheduler) run(ctx context.Context) {
	defer s.runs.Wait()
	tick := time.NewTicker(taskPoll)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := s.startDue(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("could not look for due tasks; trying again", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// startDue plans what has no next tick and starts whatever it can claim.
func (s *scheduler) startDue(ctx context.Context) error {
	looking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	unplanned, err := s.queries.ListUnplannedTasks(looking, s.names)
	if err != nil {
		return err
	}
	for _, u := range unplanned {
		if err := s.plan(looking, u); err != nil {
			return err
		}
	}
	for {
		claimed, err := s.queries.ClaimTask(looking, db.ClaimTaskParams{Known: s.names, Runner: s.runner, Lease: s.lease})
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
		s.log.Warn("a task is never due", zap.String("task", u.Name), zap.String("error", *p.Problem))
	}
	return err
}

// NextTick is the first moment after another at which a schedule is due.
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

// perform makes one claimed run and records how it ended.
func (s *scheduler) perform(ctx context.Context, t db.ScheduledTask) {
	end := db.FinishTaskParams{Task: t.Name, Attempt: t.Attempt, Schedule: t.Schedule, TimeZone: t.TimeZone, Outcome: "completed"}
	if next, err := NextTick(t.Schedule, t.TimeZone, *t.StartedAt); err == nil {
		end.NextRunAt = &next // else it is left without, which plan explains
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
		s.log.Warn("a task's run was lost; whoever runs it now records it", zap.String("task", t.Name))
		return
	case err != nil && ctx.Err() != nil:
		end.Outcome = "released"
	case err != nil:
		text := clip(err.Error(), mostError)
		end.Outcome, end.Error = "failed", &text
		s.log.Warn("a task failed; trying again", zap.String("task", t.Name), zap.Error(err))
	}
	finishing, stop := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer stop()
	if _, err := s.queries.FinishTask(finishing, end); err != nil {
		s.log.Warn("could not record a task's run; it is made again", zap.String("task", t.Name), zap.Error(err))
	}
}

// keep extends the lease of a run until ctx ends, and ends the run when it is lost.
func (s *scheduler) keep(ctx context.Context, t db.ScheduledTask, end context.CancelCauseFunc) {
	tick := time.NewTicker(s.lease / 3)
	defer tick.Stop()
	kept := time.Now() // this process's clock only gives up early
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

// safely runs the task and makes a panic an error.
func (t task) safely(ctx context.Context, settings json.RawMessage) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return t(ctx, settings)
}

// clip cuts text to n bytes at most, between characters, and takes NULs out, which
// Postgres cannot store.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "?")
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "")
	}
	return text
}
