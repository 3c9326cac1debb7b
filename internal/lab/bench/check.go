package bench

import (
	"context"
	"errors"
	"fmt"
)

// ErrMiscounted: the rows do not account for every job, so the figures are worthless.
var ErrMiscounted = errors.New("the jobs do not add up")

// rowCounts is what the tables hold for one queue.
type rowCounts struct {
	jobs          int64 // rows of jobs
	completed     int64 // attempts that completed
	distinct      int64 // jobs with one
	otherOutcomes int64 // attempts that ended neither completed nor released
	waiting       int64
	running       int64
}

// check counts a queue's rows: each job has exactly one completed attempt, or waits.
// completed is how many ends the worker reported.
func (b *bench) check(ctx context.Context, queue string, jobs, completed int64) error {
	defer b.stage("counting rows", 0, nil)()
	var t rowCounts
	err := b.pool.QueryRow(ctx, `SELECT
			(SELECT count(*) FROM penstock.jobs WHERE queue = $1), a.completed, a.jobs, a.odd,
			(SELECT count(*) FROM penstock.pending WHERE queue = $1),
			(SELECT count(*) FROM penstock.running WHERE queue = $1)
		FROM (SELECT count(*) FILTER (WHERE outcome = 'completed') AS completed,
				count(DISTINCT job_id) FILTER (WHERE outcome = 'completed') AS jobs,
				count(*) FILTER (WHERE outcome NOT IN ('completed', 'released')) AS odd
			FROM penstock.attempts WHERE queue = $1) a`, queue).
		Scan(&t.jobs, &t.completed, &t.distinct, &t.otherOutcomes, &t.waiting, &t.running)
	if err != nil {
		return fmt.Errorf("count the rows of %s: %w", queue, err)
	}
	if err := t.verdict(jobs, completed); err != nil {
		return fmt.Errorf("queue %s: %w", queue, err)
	}
	return nil
}

func (t rowCounts) verdict(jobs, completed int64) error {
	switch {
	case t.jobs != jobs:
		return fmt.Errorf("%w: %d jobs were enqueued, %d are in penstock.jobs", ErrMiscounted, jobs, t.jobs)
	case t.completed != t.distinct:
		return fmt.Errorf("%w: %d jobs completed %d times", ErrMiscounted, t.distinct, t.completed)
	case t.completed != completed:
		return fmt.Errorf("%w: %d ends were reported, %d are in penstock.attempts", ErrMiscounted, completed, t.completed)
	case t.otherOutcomes != 0 || t.running != 0:
		return fmt.Errorf("%w: %d attempts did not complete, %d jobs are still leased", ErrMiscounted, t.otherOutcomes, t.running)
	case t.completed+t.waiting != jobs:
		return fmt.Errorf("%w: of %d jobs %d completed and %d wait", ErrMiscounted, jobs, t.completed, t.waiting)
	}
	return nil
}
