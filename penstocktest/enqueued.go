package penstocktest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock"
)

// Tx is where jobs are searched: a pgx.Tx sees its own uncommitted jobs and the committed ones,
// a *pgxpool.Pool or *pgx.Conn the latter. For database/sql see SQL.
type Tx interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// SQL is a *sql.Tx, *sql.Conn or *sql.DB of any Postgres driver as a Tx.
func SQL(tx penstock.SQLTx) Tx { return sqlTx{tx} }

type sqlTx struct{ penstock.SQLTx }

func (tx sqlTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return tx.QueryRowContext(ctx, sql, args...)
}

// Want describes a job. Zero fields match any job.
type Want struct {
	Queue, Name string

	// Data is compared as JSON: an object must have at least these keys, and what they
	// hold is compared in turn; anything else must be equal. A struct without omitempty
	// names all its fields: use a map[string]any or json.RawMessage to name some.
	Data any

	Priority       penstock.Priority // a level or a weight
	Tags           []string          // all of these, in any order
	IdempotencyKey string

	// Bounds, both included, of how long after its enqueue the job may start, and of
	// when that is, by the database's clock.
	MinDelay, MaxDelay time.Duration
	RunFrom, RunTo     time.Time
}

// Job is a job that waits: due now, scheduled, or to be retried.
type Job struct {
	penstock.JobInfo
	IdempotencyKey string                `json:"idempotencyKey"`
	Timeout        penstock.Milliseconds `json:"timeout"` // what the job brought itself
}

// enqueuedSQL has text in and text out, which every driver can carry.
const enqueuedSQL = `
SELECT coalesce(jsonb_agg(to_jsonb(w) ORDER BY w.number), '[]')::text,
    coalesce(penstock.priority_weight(to_jsonb(nullif($3::text, ''))), 0)::text
FROM (SELECT j.id AS number, j.id::text AS id, j.queue AS "queueName", j.name,
        CASE WHEN p.failures > 0 OR p.crashes > 0 THEN 'retrying'
            WHEN p.run_at > clock_timestamp() THEN 'scheduled' ELSE 'waiting' END AS state,
        p.priority, p.attempt, p.failures, p.run_at AS "runAt", j.enqueued_at AS "enqueuedAt", j.expires_at AS "expiresAt",
        j.data, j.tags, j.retry AS "retryStrategy", coalesce(j.max_attempts, 0) AS "maxAttempts",
        coalesce(j.trace_context, '') AS "traceContext", coalesce(j.origin_id, 0)::text AS "originId", j.generation,
        coalesce(extract(epoch FROM j.timeout) * 1000, 0) AS timeout,
        coalesce((SELECT k.key FROM penstock.idempotency_keys k
            WHERE k.queue = j.queue AND k.job_id = j.id), '') AS "idempotencyKey"
    FROM penstock.pending p JOIN penstock.jobs j ON j.id = p.job_id AND j.queue = p.queue
    WHERE ($1::text = '' OR p.queue = $1::text) AND ($2::text = '' OR j.name = $2::text)
    ORDER BY p.job_id DESC LIMIT 10000) w`

// enqueued reads the waiting jobs of a queue and name, the oldest first, and what
// weight a priority has.
func enqueued(ctx context.Context, tx Tx, queue, name string, priority penstock.Priority) (jobs []Job, weight int, err error) {
	var text, number string
	if err := tx.QueryRow(ctx, enqueuedSQL, queue, name, string(priority)).Scan(&text, &number); err != nil {
		return nil, 0, fmt.Errorf("read what is enqueued: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &jobs); err != nil {
		return nil, 0, fmt.Errorf("read what is enqueued: %w", err)
	}
	_, err = fmt.Sscan(number, &weight)
	return jobs, weight, err
}

// AllEnqueued returns the waiting jobs that want means, the oldest first; of one
// queue and name it looks at the newest 10,000.
func AllEnqueued(t testing.TB, tx Tx, want Want) []Job {
	t.Helper()
	m, err := want.matcher()
	if err != nil {
		t.Fatalf("penstocktest: %v", err)
	}
	candidates, weight, err := enqueued(t.Context(), tx, want.Queue, want.Name, want.Priority)
	if err != nil {
		t.Fatalf("penstocktest: %v", err)
	}
	m.weight = weight
	var found []Job
	for _, job := range candidates {
		if m.differs(&job) == "" {
			found = append(found, job)
		}
	}
	return found
}

// RequireEnqueued ends the test unless a waiting job is as want says, and returns the
// oldest of those that are. What is enqueued instead is listed, and where it differs.
func RequireEnqueued(t testing.TB, tx Tx, want Want) Job {
	t.Helper()
	found := AllEnqueued(t, tx, want)
	if len(found) > 0 {
		return found[0]
	}
	t.Fatalf("penstocktest: no such job is enqueued: %v\n%s", want, instead(t, tx, want))
	return Job{}
}

// RequireNotEnqueued ends the test if a waiting job is as want says. The less want
// says, the more it forbids: Want{} any job.
func RequireNotEnqueued(t testing.TB, tx Tx, want Want) {
	t.Helper()
	if found := AllEnqueued(t, tx, want); len(found) > 0 {
		t.Fatalf("penstocktest: enqueued, though it should not be: %v\n%s", want, table(found, nil))
	}
}

// instead lists what is enqueued, of the wanted queue and name if there is any.
func instead(t testing.TB, tx Tx, want Want) string {
	for _, scope := range []Want{{Queue: want.Queue, Name: want.Name}, {Queue: want.Queue}, {}} {
		jobs, weight, err := enqueued(t.Context(), tx, scope.Queue, scope.Name, want.Priority)
		if err != nil {
			return err.Error()
		}
		if len(jobs) > 0 {
			m, _ := want.matcher() // it was made before
			m.weight = weight
			return "enqueued instead:\n" + table(jobs, m.differs)
		}
	}
	return "nothing is enqueued"
}

// listed is how many jobs a failed test lists.
const listed = 20

func table(jobs []Job, why func(*Job) string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for i := range jobs[:min(len(jobs), listed)] {
		job := &jobs[i]
		state := string(job.State)
		if job.State != penstock.Waiting {
			state += " in " + time.Until(job.RunAt).Round(time.Second).String()
		}
		fmt.Fprintf(w, "    %s\t%s\tpriority %d\t%s\t%s", job.Queue, job.Name, job.Priority, state, clip(string(job.Data)))
		if why != nil {
			fmt.Fprintf(w, "\t← %s", why(job))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // into memory
	if len(jobs) > listed {
		fmt.Fprintf(&text, "    … and %d more\n", len(jobs)-listed)
	}
	return text.String()
}

// clip keeps a line a line.
func clip(text string) string {
	if r := []rune(text); len(r) > 120 {
		return string(r[:119]) + "…"
	}
	return text
}
