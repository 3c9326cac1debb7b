// Package health_test proves what health says: rows are made ill on real PostgreSQL,
// the issue has to appear with its figure, and to be gone once they are mended.
package health_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// patience bounds every wait; a test that needs it all has found a block.
const patience = 30 * time.Second

type fixture struct {
	*testkit.DB
	client *penstock.Client
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	d := testkit.New(t)
	client, err := penstock.NewClient(d.Pool, penstock.Config{})
	require.NoError(t, err)
	f := &fixture{d, client}
	f.exec(t, `UPDATE penstock.scheduled_tasks SET next_run_at = now()`) // no server of theirs has run yet
	return f
}

func (f *fixture) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := f.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func (f *fixture) enqueue(t *testing.T, n int) {
	t.Helper()
	for range n {
		_, err := f.client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "n"})
		require.NoError(t, err)
	}
}

// die enqueues n jobs that die, with a worker that then leaves.
func (f *fixture) die(t *testing.T, n int) {
	t.Helper()
	f.enqueue(t, n)
	f.exec(t, `SELECT penstock.finish('q', c.ids, c.nths, array_fill('dead'::text, ARRAY[cardinality(c.ids)]),
			array_fill('Boom'::text, ARRAY[cardinality(c.ids)]), array_fill('it broke'::text, ARRAY[cardinality(c.ids)]))
		FROM (SELECT array_agg(k.job_id) AS ids, array_agg(k.attempt) AS nths
			FROM penstock.register_worker('{q}') w, LATERAL penstock.claim('q', w, 1000) k) c`)
	f.exec(t, `DELETE FROM penstock.workers`)
}

// sampled says that these attempts ended within the last minute, each after 100 ms.
func (f *fixture) sampled(t *testing.T, enqueued, completed, failed, lost int) {
	t.Helper()
	f.exec(t, `INSERT INTO penstock.metric_samples (at, enqueued, completed, failed, lost, snoozed, released, cancelled, expired, died,
			claimed, processing_ms, wait_ms, samples, queue, step)
		VALUES (date_trunc('minute', now()), $1::int, $2::int, $3::int, $4::int, 0, 0, 0, 0, 0, $2::int + $3::int + $4::int, 100 * $2::int, 0, 1,
			'q', 'minute')`,
		enqueued, completed, failed, lost)
}

// took says that so many attempts took so long, by the samples of a step some time ago.
func (f *fixture) took(t *testing.T, step, metric, ago string, jobs int, d time.Duration) {
	t.Helper()
	f.exec(t, `INSERT INTO penstock.latency_samples (at, jobs, total_ms, squares, least_ms, most_ms, queue, step, name, metric, buckets, counts)
		SELECT date_trunc($1::text, now(), 'UTC') - $3::interval, $4::bigint, 0, 0, 0, 0, 'q', $1::text, 'n', $2::text,
			ARRAY[penstock.duration_bucket($5::float8)], ARRAY[$4::bigint]`,
		step, metric, ago, jobs, float64(d.Microseconds()))
}

// issue is the one of a code, if there is one.
func issue(h penstock.Health, code string) *penstock.HealthIssue {
	for _, i := range h.Issues {
		if i.Code == code {
			return &i
		}
	}
	return nil
}

func (f *fixture) health(t *testing.T, queue string) penstock.Health {
	t.Helper()
	if queue != "" {
		h, err := f.client.Health.Queue(t.Context(), queue)
		require.NoError(t, err)
		return h
	}
	all, err := f.client.Health.All(t.Context())
	require.NoError(t, err)
	return all.Database
}

func TestEveryIssueAppearsWithItsFigureAndGoesWithItsCause(t *testing.T) {
	t.Parallel()
	used := func(t *testing.T, f *fixture) { f.exec(t, `INSERT INTO penstock.queues (queue) VALUES ('q')`) }
	waiting := func(ago string) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) {
			f.enqueue(t, 2)
			f.exec(t, `UPDATE penstock.pending SET run_at = now() - $1::interval`, ago)
			f.exec(t, `SELECT penstock.register_worker('{q}')`)
		}
	}
	sampled := func(enqueued, completed, failed, lost int) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) {
			used(t, f)
			f.sampled(t, enqueued, completed, failed, lost)
		}
	}
	forget := `DELETE FROM penstock.metric_samples`
	running := func(ago string) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) {
			f.enqueue(t, 1)
			f.exec(t, `SELECT penstock.claim('q', penstock.register_worker('{q}'), 1)`)
			f.exec(t, `UPDATE penstock.running SET claimed_at = now() - $1::interval`, ago)
		}
	}
	dead := func(n int) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) { f.die(t, n) }
	}
	sql := func(text string) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) { f.exec(t, text) }
	}
	for _, c := range []struct {
		name, queue, code string
		severity          penstock.HealthStatus
		ill               func(*testing.T, *fixture)
		least, most       float64 // of the figure
		threshold         float64
		mend              string
	}{
		{"nine of ten attempts completed", "q", "success_rate", penstock.StatusWarning, sampled(0, 90, 10, 0), 0.9, 0.9, 0.95, forget},
		{"half of the attempts failed", "q", "success_rate", penstock.StatusCritical, sampled(0, 50, 50, 0), 0.5, 0.5, 0.8, forget},
		{"a job waits longer than the objective", "q", "waiting_long", penstock.StatusWarning, waiting("1 minute"), 60_000, 120_000, 10_000, `DELETE FROM penstock.pending`},
		{"a job waits far longer", "q", "waiting_long", penstock.StatusCritical, waiting("1 hour"), 3_600_000, 3_700_000, 100_000, `DELETE FROM penstock.pending`},
		{"jobs started late", "q", "late_starts", penstock.StatusWarning, func(t *testing.T, f *fixture) {
			used(t, f)
			f.took(t, "minute", "wait", "0 minutes", 60, time.Second)
			f.took(t, "minute", "wait", "1 minute", 40, time.Minute)
		}, 0.6, 0.6, 0.99, `DELETE FROM penstock.latency_samples`},
		{"more arrives than the slots can do", "q", "overload", penstock.StatusCritical, func(t *testing.T, f *fixture) {
			f.exec(t, `SELECT penstock.register_worker('{q}')`) // one slot: ten a second
			f.sampled(t, 18_000, 100, 0, 0)
		}, 1.99, 2.01, 1.5, forget},
		{"nobody works a queue that has work", "q", "no_worker", penstock.StatusCritical, func(t *testing.T, f *fixture) {
			waiting("1 minute")(t, f)
			f.exec(t, `DELETE FROM penstock.workers`)
		}, 0, 0, 1, `SELECT penstock.register_worker('{q}')`},
		{"jobs die", "q", "dead_growth", penstock.StatusWarning, dead(10), 10, 10, 10, `DELETE FROM penstock.dead_jobs WHERE job_id = (SELECT min(job_id) FROM penstock.dead_jobs)`},
		{"many jobs die", "q", "dead_growth", penstock.StatusCritical, dead(100), 100, 100, 100, `UPDATE penstock.dead_jobs SET failed_at = now() - interval '2 hours'`},
		{"an attempt runs long", "q", "running_long", penstock.StatusWarning, running("1 hour"), 3_600_000, 3_700_000, 1_800_000, `DELETE FROM penstock.running`},
		{"an attempt runs very long", "q", "running_long", penstock.StatusCritical, running("3 hours"), 10_800_000, 10_900_000, 7_200_000, `DELETE FROM penstock.running`},
		{"workers crash", "q", "crash_rate", penstock.StatusWarning, sampled(0, 98, 0, 2), 0.02, 0.02, 0.01, forget},
		{"workers crash a lot", "q", "crash_rate", penstock.StatusCritical, sampled(0, 90, 0, 10), 0.1, 0.1, 0.05, forget},
		{"attempts take thrice what they took in the week", "q", "slowdown", penstock.StatusWarning, func(t *testing.T, f *fixture) {
			used(t, f)
			f.took(t, "hour", "processing", "2 days", 1000, 100*time.Millisecond)
			f.took(t, "minute", "processing", "1 minute", 100, 300*time.Millisecond)
		}, 2.9, 3.1, 2, `DELETE FROM penstock.latency_samples WHERE step = 'minute'`},
		{"many die of one error", "q", "error_spike", penstock.StatusWarning, dead(20), 20, 20, 10, `UPDATE penstock.dead_jobs SET failed_at = now() - interval '20 minutes'`},
		{"a paused queue holds work", "q", "paused", penstock.StatusWarning, func(t *testing.T, f *fixture) {
			waiting("10 days")(t, f)
			require.NoError(t, f.client.Queues.Pause(t.Context(), "q"))
		}, 863_000_000, 865_000_000, 10_000, `DELETE FROM penstock.pending`},
		{
			"a task fails", "", "task_failing", penstock.StatusWarning, sql(`UPDATE penstock.scheduled_tasks SET consecutive_failures = 1, error = 'no luck' WHERE name = 'prune'`), 1, 1, 1,
			`UPDATE penstock.scheduled_tasks SET consecutive_failures = 0`,
		},
		{
			"a task fails again and again", "", "task_failing", penstock.StatusCritical, sql(`UPDATE penstock.scheduled_tasks SET consecutive_failures = 7 WHERE name = 'prune'`), 7, 7, 3,
			`UPDATE penstock.scheduled_tasks SET paused = true`,
		},
		{
			"nobody keeps the tasks", "", "tasks_overdue", penstock.StatusWarning, sql(`UPDATE penstock.scheduled_tasks SET next_run_at = now() - interval '1 hour' WHERE name = 'prune'`), 3_600_000, 3_700_000, 300_000,
			`UPDATE penstock.scheduled_tasks SET next_run_at = now()`,
		},
		{
			"partitions run out", "", "partitions_ahead", penstock.StatusWarning, sql(`DELETE FROM penstock.partitions WHERE last_day > floor(extract(epoch FROM now()) / 86400) + 1`), 1, 1, 3,
			`INSERT INTO penstock.partitions SELECT max(last_day) + 1, max(last_day) + 7 FROM penstock.partitions`,
		},
		{
			"partitions have run out", "", "partitions_ahead", penstock.StatusCritical, sql(`DELETE FROM penstock.partitions WHERE last_day > floor(extract(epoch FROM now()) / 86400)`), 0, 0, 1,
			`INSERT INTO penstock.partitions SELECT max(last_day) + 1, max(last_day) + 7 FROM penstock.partitions`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			require.Nil(t, issue(f.health(t, c.queue), c.code))
			c.ill(t, f)
			h := f.health(t, c.queue)
			found := issue(h, c.code)
			require.NotNil(t, found, h.Issues)
			require.Equal(t, c.severity, found.Severity, found)
			require.GreaterOrEqual(t, found.Figure, c.least-1e-9, found)
			require.LessOrEqual(t, found.Figure, c.most+1e-9, found)
			require.InDelta(t, c.threshold, found.Threshold, 1e-9)
			require.NotEqual(t, penstock.StatusHealthy, h.Status)
			require.NotEmpty(t, found.Message)
			require.NotEmpty(t, found.Unit)
			require.Contains(t, h.Recommendations, found.Recommendation)
			f.exec(t, c.mend)
			require.Nil(t, issue(f.health(t, c.queue), c.code))
		})
	}
}

func TestASnapshotThatIsHeldIsToldWithItsQuery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx, err := f.Pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 'who holds on'")
	require.NoError(t, err)
	// Five minutes do not pass in a test: the function is asked as it would be, but for them.
	var source string
	require.NoError(t, f.Pool.QueryRow(t.Context(), `SELECT pg_get_functiondef('penstock.database_health()'::regprocedure)`).Scan(&source))
	f.exec(t, replaced(t, source, "h.age > interval '5 minutes'", "h.age > interval '0'"))
	found := issue(f.health(t, ""), "xmin_horizon")
	require.NotNil(t, found)
	require.Contains(t, found.Message, "process ")
	require.Contains(t, found.Recommendation, "pg_terminate_backend(")
	require.Contains(t, found.Detail, "who holds on")
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestRowsThatVacuumLeavesAreTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, "ALTER TABLE penstock.pending SET (autovacuum_enabled = off)")
	f.exec(t, `INSERT INTO penstock.pending (queue, priority, run_at, job_id, name, attempt, failures, crashes)
		SELECT 'q', 5, now(), n, 'n', 0, 0, 0 FROM generate_series(1, 101000) n`)
	f.exec(t, "DELETE FROM penstock.pending")
	// What a session counted reaches the others when it is idle for a moment.
	require.Eventually(t, func() bool {
		found := issue(f.health(t, ""), "dead_tuples")
		return found != nil && found.Figure > 0.8 && strings.Contains(found.Message, "table pending") && strings.Contains(found.Recommendation, "VACUUM penstock.pending")
	}, patience, 20*time.Millisecond)
	f.exec(t, "VACUUM penstock.pending")
	require.Eventually(t, func() bool { return issue(f.health(t, ""), "dead_tuples") == nil }, patience, 20*time.Millisecond)
}

func TestAnOldTransactionIDIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx, err := f.Pool.Begin(t.Context()) // nobody else may see what is set here
	require.NoError(t, err)
	for _, c := range []struct {
		age      int64
		severity string
	}{{900_000_000, ""}, {1_200_000_000, "warning"}, {1_700_000_000, "critical"}} {
		_, err = tx.Exec(t.Context(), `UPDATE pg_database
			SET datfrozenxid = ((pg_current_xact_id()::text::numeric - $1 + 4294967296::numeric * 2) % 4294967296)::bigint::text::xid
			WHERE datname = current_database()`, c.age)
		require.NoError(t, err)
		var severity string
		err = tx.QueryRow(t.Context(), "SELECT coalesce(min(severity), '') FROM penstock.database_health() WHERE code = 'transaction_age'").Scan(&severity)
		require.NoError(t, err)
		require.Equal(t, c.severity, severity, c.age)
	}
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestAnUnusedQueueAndAQuietDatabaseAreHealthy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.health(t, "never")
	require.NotNil(t, h.Metrics)
	require.Equal(t, penstock.Metrics{StateAt: h.Metrics.StateAt, TimeToDrain: new(penstock.Milliseconds)}, *h.Metrics, "nothing is in it, and no rate is made up")
	h.Metrics = nil
	require.Equal(t, penstock.Health{
		Queue: "never", Status: penstock.StatusHealthy, Issues: []penstock.HealthIssue{}, Recommendations: []string{},
	}, h)
	f.exec(t, `INSERT INTO penstock.queues (queue) VALUES ('q')`)
	all, err := f.client.Health.All(t.Context())
	require.NoError(t, err)
	require.Equal(t, penstock.StatusHealthy, all.Status, all)
	require.Len(t, all.Queues, 1)
	require.NotNil(t, all.Queues[0].Metrics)
	text, err := json.Marshal(all.Database)
	require.NoError(t, err)
	require.JSONEq(t, `{"status": "healthy", "issues": [], "recommendations": []}`, string(text))
}

func TestTheMetricsOfTheLastHourComeWithHealth(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.die(t, 3)
	f.enqueue(t, 2)
	one, err := f.client.Metrics.Queue(t.Context(), "q", time.Hour)
	require.NoError(t, err)
	require.Equal(t, []int64{2, 3, 3}, []int64{one.Metrics.Waiting, one.Metrics.Dead, one.Metrics.Died})
	require.Zero(t, *one.Metrics.SuccessRate)
	all, err := f.client.Health.All(t.Context())
	require.NoError(t, err)
	require.Len(t, all.Queues, 1)
	for _, m := range []*penstock.Metrics{f.health(t, "q").Metrics, all.Queues[0].Metrics} {
		require.Equal(t, []int64{2, 3, 3, 5}, []int64{m.Waiting, m.Dead, m.Died, m.Enqueued})
		require.Zero(t, *m.SuccessRate)
	}
	require.Nil(t, all.Database.Metrics)
}

func TestFewAttemptsSayNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `INSERT INTO penstock.queues (queue) VALUES ('q')`)
	f.sampled(t, 0, 0, 10, 9)
	require.Equal(t, penstock.StatusHealthy, f.health(t, "q").Status, "19 of 19 are not 20")
}

func TestAPausedQueueIsNoMoreThanAWarningForWaiting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, 1)
	f.exec(t, `UPDATE penstock.pending SET run_at = now() - interval '10 days'`)
	require.NoError(t, f.client.Queues.Pause(t.Context(), "q"))
	h := f.health(t, "q")
	require.Equal(t, penstock.StatusWarning, h.Status)
	require.Contains(t, h.Issues[0].Message, "the queue is paused")
	require.Len(t, h.Issues, 1)
}

func TestThresholdsAreAQueuesOwnOrThoseOfEveryQueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	set := func(queue string, name string, v *float64) {
		require.NoError(t, f.client.As("ann").Health.SetThresholds(ctx, queue, map[string]*float64{name: v}))
	}
	get := func(queue string) penstock.HealthThresholds {
		got, err := f.client.Health.Thresholds(ctx, queue)
		require.NoError(t, err)
		return got
	}
	n := func(v float64) *float64 { return &v }
	set("q", "wait_objective", n(2500))
	require.Equal(t, penstock.Milliseconds(2500*time.Millisecond), get("q").WaitObjective)
	require.Equal(t, penstock.Milliseconds(10*time.Second), get("other").WaitObjective)
	set("*", "dead_warning", n(50))
	require.Equal(t, 50, get("q").DeadWarning)
	set("q", "wait_objective", nil)
	require.Equal(t, penstock.Milliseconds(10*time.Second), get("q").WaitObjective)
	page, err := f.client.Audit.List(ctx, penstock.AuditQuery{Queue: "q", Limit: 10})
	require.NoError(t, err)
	require.NotEmpty(t, page.Items)
	require.Equal(t, "ann", page.Items[0].Actor)
	for name, v := range map[string]*float64{
		"span": n(1), "wait_share": n(1.5), "least_attempts": n(0), "crash_critical": n(-1), "dead_warning": n(1e300), "nonsense": n(1),
	} {
		before := get("q")
		err := f.client.Health.SetThresholds(ctx, "q", map[string]*float64{name: v})
		require.ErrorIs(t, err, penstock.ErrInvalidArgument, name)
		require.Equal(t, before, get("q"))
	}
	require.ErrorIs(t, f.client.Health.SetThresholds(ctx, "*", map[string]*float64{"span": nil}), penstock.ErrInvalidArgument)
	require.ErrorIs(t, f.client.Health.SetThresholds(ctx, "no spaces", map[string]*float64{"span": n(60000)}), penstock.ErrInvalidArgument)
	require.ErrorIs(t, f.client.Health.SetThresholds(ctx, "q", nil), penstock.ErrInvalidArgument)
}

func TestReportsAreKeptServedAndForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	f.exec(t, `INSERT INTO penstock.health_reports (at, queue, status, issues) VALUES (now() - interval '31 days', 'q', 'healthy', '[]')`)
	f.die(t, 12)
	f.exec(t, `SELECT penstock.report_health()`)
	f.exec(t, `DELETE FROM penstock.dead_jobs`)
	f.exec(t, `INSERT INTO penstock.queues (queue) VALUES ('q')`)
	f.exec(t, `SELECT penstock.report_health()`)
	page, err := f.client.Health.Reports(ctx, penstock.HealthReportQuery{Queue: "q", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, penstock.StatusHealthy, page.Items[0].Status)
	page, err = f.client.Health.Reports(ctx, penstock.HealthReportQuery{Queue: "q", Limit: 1, Cursor: page.Next})
	require.NoError(t, err)
	require.Equal(t, penstock.StatusWarning, page.Items[0].Status)
	require.Equal(t, "dead_growth", page.Items[0].Issues[0].Code)
	page, err = f.client.Health.Reports(ctx, penstock.HealthReportQuery{Queue: "q", Limit: 1, Cursor: page.Next})
	require.NoError(t, err)
	require.Empty(t, page.Items, "a month is enough")
	page, err = f.client.Health.Reports(ctx, penstock.HealthReportQuery{Limit: 500})
	require.NoError(t, err)
	require.Len(t, page.Items, 4, "two of the queue, two of the database")
}

// replaced is a text with one thing in place of another, which it must have.
func replaced(t *testing.T, text, old, fresh string) string {
	t.Helper()
	require.Contains(t, text, old)
	return strings.ReplaceAll(text, old, fresh)
}
