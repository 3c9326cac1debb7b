package sqltest_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// pages counts the pages that a statement reads, by running it twice: the first
// run fills the session's caches.
func pages(t *testing.T, conn *pgx.Conn, sql string) int {
	t.Helper()
	var count int
	for range 2 {
		text := one[[]byte](t, conn, "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "+sql)
		var plans []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		require.NoError(t, json.Unmarshal(text, &plans))
		count = plans[0].Plan.Hit + plans[0].Plan.Read
	}
	return count
}

// A claim reads as few pages beside 100,000 jobs that are not due as beside none.
func TestScheduledJobsCostAClaimNothing(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	conn := session(t, db)
	by := worker(t, conn, "q")
	look := fmt.Sprintf("SELECT * FROM penstock.claim('q', %d, 100)", by)
	due := "SELECT penstock.next_due('q')"
	alone, alonedue := pages(t, conn, look), pages(t, conn, due)
	do(t, conn, `INSERT INTO penstock.pending (job_id, run_at, attempt, failures, crashes, priority, queue, name)
		SELECT g, now() + g * interval '1 second' + interval '1 hour', 0, 0, 0, 1 + g % 5, 'q', 'n' FROM generate_series(1, 100000) g`)
	// Five lanes of an index of three levels: a probe to find each, one to find its head.
	require.Less(t, pages(t, conn, look), alone+60)
	require.Less(t, pages(t, conn, due), alonedue+60)
	do(t, conn, "SELECT penstock.enqueue('q', 'n', '{}', 3)")
	require.Len(t, claim(t, conn, "q", by, 100), 1)
}

// scans are what a session has done to a table and its partitions. Postgres counts
// from some earlier moment on, so only differences within a transaction say something.
type scans struct{ Sequential, Fetched int64 }

var hotTables = []string{"jobs", "pending", "running", "attempts", "idempotency_keys"}

func scanned(t tester, q querier, table string) scans {
	t.Helper()
	return rows(t, q, pgx.RowToStructByPos[scans], `SELECT coalesce(sum(seq_scan), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint
		FROM pg_stat_xact_user_tables WHERE schemaname = 'penstock' AND relname ~ ('^' || $1 || '(_\d+)?$')`, table)[0]
}

// The verbs keep to the keys whatever the planner believes: never analyzed tables
// whose plans were made when they were empty, statistics from when there was next
// to nothing, and statistics of much. Each row is looked up once or a few times,
// however many others wait or run.
func TestVerbsNeverScanWhateverTheStatisticsSay(t *testing.T) {
	t.Parallel()
	const much, batch = 6000, 500
	analyze := "ANALYZE penstock.jobs, penstock.pending, penstock.running, penstock.attempts, penstock.idempotency_keys"
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, conn *pgx.Conn, by int64)
	}{
		{"plans made on empty tables, never analyzed", func(t *testing.T, conn *pgx.Conn, by int64) {
			for range 7 { // more often than Postgres takes to settle for a generic plan
				claim(t, conn, "q", by, 10)
				do(t, conn, "SELECT penstock.finish('q', ARRAY[1::bigint], ARRAY[1])")
				do(t, conn, "SELECT penstock.finish('q', ARRAY[1::bigint], ARRAY[1], ARRAY['failed'])")
			}
		}},
		{"analyzed when empty", func(t *testing.T, conn *pgx.Conn, _ int64) { do(t, conn, analyze) }},
		{"analyzed when three jobs ran", func(t *testing.T, conn *pgx.Conn, by int64) {
			fill(t, conn, 3)
			require.Len(t, claim(t, conn, "q", by, 3), 3)
			do(t, conn, analyze)
		}},
		{"analyzed when full", func(t *testing.T, conn *pgx.Conn, by int64) {
			fill(t, conn, much)
			fill(t, conn, much)
			require.Len(t, claim(t, conn, "q", by, much), much)
			do(t, conn, analyze)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := testkit.New(t)
			conn := session(t, db)
			for _, table := range []string{"pending", "running", "idempotency_keys"} {
				do(t, conn, "ALTER TABLE penstock."+table+" SET (autovacuum_enabled = off)")
			}
			by := worker(t, conn, "q")
			c.prepare(t, conn, by)
			for range 3 {
				fill(t, conn, much)
			}
			// So many run at once that a look at each for each would show.
			require.Len(t, claim(t, conn, "q", by, much), much)
			for _, verb := range []struct{ name, sql string }{
				{"claim", fmt.Sprintf("SELECT job_id FROM penstock.claim('q', %d, %d)", by, batch)},
				{"complete", `SELECT (penstock.finish('q', ids, array_fill(1, ARRAY[cardinality(ids)]))).job_id FROM asked`},
				{"fail", `SELECT (penstock.finish('q', ids, array_fill(1, ARRAY[cardinality(ids)]), array_fill('failed'::text, ARRAY[cardinality(ids)]))).job_id FROM asked`},
				{"repeat", `SELECT (penstock.finish('q', past, array_fill(1, ARRAY[cardinality(past)]))).job_id FROM asked`},
				{"enqueue", fmt.Sprintf(`SELECT unnest(penstock.enqueue_many('q', array_fill('n'::text, ARRAY[%[1]d]), array_fill('1'::jsonb, ARRAY[%[1]d])))`, batch)},
				{"enqueue by key", fmt.Sprintf(`SELECT unnest(penstock.enqueue_many('q', array_agg('n'::text), array_agg('1'::jsonb),
					array_agg(jsonb_build_object('idempotencyKey', 'k' || g)))) FROM generate_series(1, %d) g`, batch)},
			} {
				// The jobs it is about are found in another transaction, which is not counted.
				do(t, conn, "CREATE TEMP TABLE IF NOT EXISTS asked (ids bigint[], past bigint[])")
				do(t, conn, "TRUNCATE asked")
				do(t, conn, `INSERT INTO asked SELECT ARRAY(SELECT job_id FROM penstock.running ORDER BY 1 LIMIT $1),
					ARRAY(SELECT job_id FROM penstock.attempts WHERE outcome = 'completed' ORDER BY 1 LIMIT $1)`, batch)
				tx := begin(t, conn)
				before := map[string]scans{}
				for _, table := range hotTables {
					before[table] = scanned(t, tx, table)
				}
				require.Len(t, list[int64](t, tx, verb.sql), batch, verb.name)
				for _, table := range hotTables {
					did := scanned(t, tx, table)
					require.Equal(t, before[table].Sequential, did.Sequential, "sequential scans of %s by %s", table, verb.name)
					require.LessOrEqual(t, did.Fetched-before[table].Fetched, int64(3*batch), "rows of %s looked up by %s", table, verb.name)
				}
				commit(t, tx)
			}
		})
	}
}

// fill enqueues n plain jobs.
func fill(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	do(t, conn, "SELECT penstock.enqueue_many('q', array_fill('n'::text, ARRAY[$1::int]), array_fill('1'::jsonb, ARRAY[$1::int]))", n)
}

// The short way of one job looks at what may concern it and at nothing else: each look at
// an empty table takes an enqueue a twentieth longer.
func TestOneJobLooksOnlyAtWhatMayConcernIt(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	conn := session(t, db)
	do(t, conn, "SELECT penstock.enqueue('q', 'n')") // asks which day it is
	looked := func(tx pgx.Tx) (counts map[string]int64) {
		counts = map[string]int64{}
		for _, name := range []string{"partitions", "queues", "priority_rules", "priority_tags"} {
			counts[name] = one[int64](t, tx, `SELECT coalesce(idx_scan, 0) + seq_scan FROM pg_stat_xact_user_tables
				WHERE schemaname = 'penstock' AND relname = $1`, name)
		}
		return counts
	}
	for _, c := range []struct {
		enqueue string
		looks   []string
	}{
		{"SELECT penstock.enqueue('q', 'n')", []string{"queues", "priority_rules"}},
		{"SELECT penstock.enqueue('q', 'n', tags => ARRAY['mine'])", []string{"queues", "priority_rules", "priority_tags"}},
		{"SELECT penstock.enqueue('q', 'n', priority => '7', tags => ARRAY['mine'])", nil},
		{"SELECT penstock.enqueue_many('q', ARRAY['n'], ARRAY['{}'::jsonb])", []string{"queues", "priority_rules"}},
	} {
		tx := begin(t, conn)
		before := looked(tx)
		do(t, tx, c.enqueue)
		var looks []string
		for name, count := range looked(tx) {
			if count > before[name] {
				looks = append(looks, name)
			}
		}
		require.ElementsMatch(t, c.looks, looks, c.enqueue)
		commit(t, tx)
	}
}
