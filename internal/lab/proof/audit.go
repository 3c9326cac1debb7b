package proof

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed audit.sql
var auditSQL string

// installAudit makes the database record every change from now on.
func installAudit(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, auditSQL); err != nil {
		return fmt.Errorf("install the audit: %w", err)
	}
	return nil
}

const trailSQL = `
SELECT t.seq, t.tx::text::bigint, t.at, t.began,
    CASE WHEN t.what IN ('waits', 'leased') THEN coalesce(pg_xact_commit_timestamp(t.tx::xid), t.at) ELSE t.at END,
    t.what, t.job_id, coalesce(t.n, 0), coalesce(t.origin, 0), coalesce(t.attempt, 0), coalesce(t.worker_id, 0),
    coalesce(t.priority, 0), coalesce(t.run_at, t.at), t.queue, coalesce(t.outcome, ''), coalesce(t.deadline, t.at), t.overdue
FROM proof.trail t ORDER BY t.job_id, t.seq`

// readTrail calls see for each job in order of ids, with its steps and effects.
func readTrail(ctx context.Context, pool *pgxpool.Pool, see func([]Step, []Effect)) error {
	effects, err := readEffects(ctx, pool)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL work_mem = '256MB'"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, trailSQL)
		if err != nil {
			return fmt.Errorf("read the trail: %w", err)
		}
		var s Step
		var steps []Step
		hand := func() {
			if len(steps) > 0 {
				see(steps, effects[steps[0].Job])
				delete(effects, steps[0].Job)
				steps = nil // the judge may keep pointers to its elements
			}
		}
		_, err = pgx.ForEachRow(rows, []any{
			&s.Seq, &s.Tx, &s.At, &s.Began, &s.Committed, &s.What, &s.Job, &s.N, &s.Origin, &s.Attempt, &s.Worker,
			&s.Priority, &s.RunAt, &s.Queue, &s.Outcome, &s.Deadline, &s.Overdue,
		}, func() error {
			if len(steps) > 0 && steps[0].Job != s.Job {
				hand()
			}
			steps = append(steps, s)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the trail: %w", err)
		}
		hand()
		if len(effects) > 0 {
			return fmt.Errorf("%d jobs have effects but no trail: the audit is incomplete", len(effects))
		}
		return nil
	})
}

func readEffects(ctx context.Context, pool *pgxpool.Pool) (map[int64][]Effect, error) {
	rows, err := pool.Query(ctx, "SELECT job_id, attempt FROM proof.effects")
	if err != nil {
		return nil, fmt.Errorf("read the effects: %w", err)
	}
	effects := map[int64][]Effect{}
	var e Effect
	_, err = pgx.ForEachRow(rows, []any{&e.Job, &e.Attempt}, func() error {
		effects[e.Job] = append(effects[e.Job], e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the effects: %w", err)
	}
	return effects, nil
}

// readIncarnations returns every registration. processOf maps a pid to its process
// number.
func readIncarnations(ctx context.Context, pool *pgxpool.Pool, processOf map[int]int) ([]Incarnation, error) {
	rows, err := pool.Query(ctx, `SELECT worker_id, pid, registered, coalesce(ended, '0001-01-01Z'), buried, beats FROM proof.incarnations`)
	if err != nil {
		return nil, fmt.Errorf("read the registrations: %w", err)
	}
	var all []Incarnation
	var i Incarnation
	var pid int
	_, err = pgx.ForEachRow(rows, []any{&i.ID, &pid, &i.Registered, &i.Ended, &i.Buried, &i.Beats}, func() error {
		i.Process = processOf[pid]
		i.Ended = i.Ended.UTC()
		if i.Ended.Year() == 1 {
			i.Ended = time.Time{}
		}
		all = append(all, i)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the registrations: %w", err)
	}
	return all, nil
}
