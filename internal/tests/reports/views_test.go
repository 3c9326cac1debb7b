package reports_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const reportDocument = "../../../docs/reporting.md"

// history is two days and an hour of two queues (testdata/history.sql). They are counted from
// midnight, so a test that would see it pass waits for that.
func history(t *testing.T) *fixture {
	t.Helper()
	for left := time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)); left < patience; left = 24 * time.Hour {
		time.Sleep(left + time.Second)
	}
	f := newFixture(t)
	script, err := os.ReadFile("testdata/history.sql")
	require.NoError(t, err)
	f.exec(t, string(script))
	codes, _ := f.verify(t)
	require.Empty(t, codes, "it is a history that can have been")
	return f
}

func TestTheExamplesOfTheReportingDocumentHoldTrue(t *testing.T) {
	t.Parallel()
	all := examples(t, reportDocument)
	require.GreaterOrEqual(t, len(all), 20)
	for _, e := range all {
		require.NotEmpty(t, e.says, "line %d: its answer is checked", e.line)
	}
	holdTrue(t, history(t), reportDocument)
}

// views are what reporting.md promises to keep.
var views = []string{
	"job_states", "queue_stats", "throughput_by_minute", "attempt_stats", "slowest_jobs", "dlq_stats", "error_groups", "worker_stats",
	"worker_versions",
}

func TestEveryColumnOfAStableViewIsExplained(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	document, err := os.ReadFile(reportDocument)
	require.NoError(t, err)
	for _, view := range views {
		require.NotEmpty(t, ask[string](t, f, "SELECT coalesce(obj_description(('penstock.' || $1)::regclass), '')", view), view)
		for _, column := range list[string](t, f, `SELECT a.attname || ': ' || coalesce(col_description(a.attrelid, a.attnum), '')
			FROM pg_attribute a WHERE a.attrelid = ('penstock.' || $1)::regclass AND a.attnum > 0`, view) {
			name, comment, _ := strings.Cut(column, ": ")
			require.NotEmpty(t, comment, "%s.%s has no comment", view, name)
			require.Contains(t, section(string(document), view), "`"+name+"`", "%s.%s is not in reporting.md", view, name)
		}
	}
}

// section is the line of the document's table that is about the view.
func section(document, view string) string {
	_, after, _ := strings.Cut(document, "\n| `"+view+"` |")
	line, _, _ := strings.Cut(after, "\n")
	return line
}

// The columns of the views are promised: what is here may be added to and nothing else.
func TestTheColumnsOfTheViewsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for view, columns := range map[string]string{
		"job_states":           "id bigint, queue text, name text, state text, priority smallint, attempt integer, failures integer, run_at timestamp with time zone, enqueued_at timestamp with time zone, claimed_at timestamp with time zone, finished_at timestamp with time zone, worker_id bigint, progress smallint, progress_note text, new_job_id bigint, cancel_requested boolean, origin_id bigint, generation smallint",
		"queue_stats":          "queue text, paused boolean, waiting bigint, scheduled bigint, retrying bigint, due bigint, running bigint, dead bigint, workers integer, slots integer, utilisation double precision, oldest_due_at timestamp with time zone, oldest_due_ms double precision",
		"throughput_by_minute": "at timestamp with time zone, queue text, enqueued bigint, completed bigint, failed bigint, lost bigint, snoozed bigint, released bigint, cancelled bigint, expired bigint, died bigint, avg_processing_ms double precision, avg_wait_ms double precision",
		"attempt_stats":        "at timestamp with time zone, queue text, name text, metric text, jobs bigint, avg_ms double precision, min_ms double precision, p50_ms double precision, p95_ms double precision, p99_ms double precision, max_ms double precision, deviation_ms double precision",
		"dlq_stats":            "queue text, dead bigint, exhausted bigint, non_retryable bigint, crash_loop bigint, timeout bigint, manual bigint, retryable bigint, scheduled bigint, oldest_at timestamp with time zone, newest_at timestamp with time zone, new_24h bigint, redriven_24h bigint, purged_24h bigint",
		"error_groups":         "queue text, fingerprint text, error_class text, reason text, jobs bigint, retryable bigint, first_seen timestamp with time zone, last_seen timestamp with time zone, example_job_id bigint, example text, resolved_at timestamp with time zone, resolved boolean",
		"slowest_jobs":         "job_id bigint, queue text, name text, attempt integer, outcome text, worker_id bigint, claimed_at timestamp with time zone, finished_at timestamp with time zone, run_ms double precision, wait_ms double precision",
		"worker_stats":         "id bigint, host text, pid integer, version text, queues text[], concurrency integer, started_at timestamp with time zone, beat_at timestamp with time zone, silent_ms double precision, running bigint, utilisation double precision, oldest_claimed_at timestamp with time zone",
		"worker_versions":      "id bigint, version text, host text, pid integer, queues text[], concurrency integer, started_at timestamp with time zone, ended_at timestamp with time zone",
	} {
		got := ask[string](t, f, `SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
			FROM pg_attribute a WHERE a.attrelid = ('penstock.' || $1)::regclass AND a.attnum > 0`, view)
		require.True(t, strings.HasPrefix(got, columns), "%s was\n%s\nand is\n%s", view, columns, got)
	}
}

// scanned are the tables that a query reads, by its plan.
func scanned(t *testing.T, f *fixture, query string) []string {
	t.Helper()
	var plans []struct{ Plan json.RawMessage }
	ctx, cancel := soon()
	defer cancel()
	rows, err := f.Pool.Query(ctx, "EXPLAIN (FORMAT JSON) "+query)
	require.NoError(t, err)
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &plans))
	var tables []string
	var walk func(json.RawMessage)
	walk = func(raw json.RawMessage) {
		var node struct {
			Relation string            `json:"Relation Name"`
			Plans    []json.RawMessage `json:"Plans"`
		}
		require.NoError(t, json.Unmarshal(raw, &node))
		if node.Relation != "" {
			tables = append(tables, node.Relation)
		}
		for _, inner := range node.Plans {
			walk(inner)
		}
	}
	walk(plans[0].Plan)
	return tables
}

// What is asked every few seconds must not read what has finished.
func TestViewsOfTheMomentReadNoFinishedJobs(t *testing.T) {
	t.Parallel()
	f := history(t)
	for view, reads := range map[string][]string{
		"queue_stats":     {"pending", "running", "dead_jobs", "workers", "workers", "queues", "queues"},
		"dlq_stats":       {"dead_jobs", "departures"},
		"error_groups":    {"dead_jobs", "dead_jobs", "resolved_errors"},
		"worker_stats":    {"workers", "running"},
		"worker_versions": {"workers", "past_workers"},
	} {
		require.ElementsMatch(t, reads, scanned(t, f, "SELECT * FROM penstock."+view), view)
	}
}

// A worker that left or was buried is known as long as its attempts are, and then forgotten.
func TestPastWorkersAreKnownAsLongAsTheirAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	left := ask[int64](t, f, "SELECT penstock.register_worker('{q}', host => 'ape', version => 'v1')")
	buried := ask[int64](t, f, "SELECT penstock.register_worker('{q}', host => 'bee', version => 'v2')")
	f.exec(t, "SELECT penstock.deregister_worker($1)", left)
	f.exec(t, "SELECT penstock.bury($1, 0)", buried)
	live := ask[int64](t, f, "SELECT penstock.register_worker('{q}', host => 'cat', version => 'v3')")
	require.Equal(t, []string{"ape v1 gone", "bee v2 gone", "cat v3 live"}, list[string](t, f, `SELECT concat_ws(' ', host, version,
		CASE WHEN ended_at IS NULL THEN 'live' ELSE 'gone' END) FROM penstock.worker_versions ORDER BY id`))

	f.exec(t, "UPDATE penstock.past_workers SET ended_at = ended_at - interval '9 days' - interval '1 minute' WHERE id = $1", left)
	f.exec(t, "UPDATE penstock.past_workers SET ended_at = ended_at - interval '8 days' WHERE id = $1", buried)
	f.exec(t, "SELECT penstock.deregister_worker($1)", live)
	require.Equal(t, []string{"bee", "cat"}, list[string](t, f, "SELECT host FROM penstock.worker_versions ORDER BY id"),
		"jobs are kept for 7 days, and their partition a little longer")
}

// What the verbs have done is in the view at once, before any server samples it and after.
func TestThroughputIsExactAtAnyMoment(t *testing.T) {
	t.Parallel()
	f := world(t)
	count := func() string {
		return ask[string](t, f, `SELECT concat_ws(' ', sum(enqueued), sum(completed), sum(failed), sum(snoozed), sum(cancelled), sum(died), sum(lost))
			FROM penstock.throughput_by_minute WHERE queue = 'q'`)
	}
	truth := ask[string](t, f, `SELECT concat_ws(' ', (SELECT count(*) FROM penstock.jobs), count(*) FILTER (WHERE outcome = 'completed'),
		count(*) FILTER (WHERE outcome = 'failed'), count(*) FILTER (WHERE outcome = 'snoozed'), count(*) FILTER (WHERE outcome = 'cancelled'),
		(SELECT count(*) FROM penstock.dead_jobs) + (SELECT count(*) FROM penstock.departures), count(*) FILTER (WHERE outcome = 'lost'))
		FROM penstock.attempts`)
	require.Equal(t, "12 2 5 1 1 3 0", truth)
	require.Equal(t, truth, count())
	f.exec(t, "SELECT penstock.sample_metrics(3)")
	require.Equal(t, truth, count(), "some of it is sampled")
	f.exec(t, "SELECT penstock.sample_metrics()")
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.tallies"))
	require.Equal(t, truth, count(), "all of it is")
}

// queue_stats counts as the library does.
func TestQueueStatsAgreeWithTheLibrary(t *testing.T) {
	t.Parallel()
	f := history(t)
	ctx, cancel := soon()
	defer cancel()
	counts, err := f.client.Queues.Counts(ctx, "")
	require.NoError(t, err)
	require.Len(t, counts, 2)
	for _, c := range counts {
		require.Equal(t, []int64{c.Waiting, c.Scheduled, c.Retrying, c.Running, c.Dead},
			ask[[]int64](t, f, "SELECT ARRAY[waiting, scheduled, retrying, running, dead] FROM penstock.queue_stats WHERE queue = $1", c.Queue))
	}
}

// The percentiles that come from buckets are within 1% of those over the attempts.
func TestPercentilesOfAttemptStatsAreWithinOnePercent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `CREATE TABLE took AS SELECT g AS n, exp(8 * abs(sin(g)))::float8 AS ms FROM generate_series(1, 2000) g`)
	f.exec(t, `INSERT INTO penstock.tallies (at, claimed_at, jobs, queue, name, outcome, run_ats, jobs_each)
		SELECT h.at + interval '10 min', h.at + interval '10 min' - t.ms * interval '1 ms', 1, 'q', 'n', 'completed',
			ARRAY[h.at + interval '10 min' - t.ms * interval '1 ms'], ARRAY[1]
		FROM took t, LATERAL (SELECT date_trunc('hour', now(), 'UTC') - CASE WHEN t.n % 2 = 0 THEN interval '0' ELSE interval '1 hour' END AS at) h`)
	f.exec(t, "SELECT penstock.sample_metrics()")
	for hour, odd := range []int{1, 0} { // the hour that is over and rolled up, then this one
		for share, column := range map[string]string{"0.5": "p50_ms", "0.95": "p95_ms", "0.99": "p99_ms"} {
			exact := ask[float64](t, f, "SELECT percentile_disc("+share+") WITHIN GROUP (ORDER BY ms) FROM took WHERE n % 2 = $1", odd)
			got := ask[float64](t, f, "SELECT "+column+" FROM penstock.attempt_stats WHERE metric = 'processing' ORDER BY at OFFSET $1 LIMIT 1", hour)
			require.InEpsilon(t, exact, got, 0.0101, "%s of hour %d", column, hour)
		}
		require.Equal(t, int64(1000), ask[int64](t, f, "SELECT jobs FROM penstock.attempt_stats WHERE metric = 'processing' ORDER BY at OFFSET $1 LIMIT 1", hour))
	}
}
