package sqltest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

const perDay = 100_000_000_000

// today is the UTC day in days since 1970, by the database's clock.
func today(t tester, q querier) int64 {
	t.Helper()
	return one[int64](t, q, "SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint")
}

// partitionsFrom replaces all partitions by those of the given days, as though the
// clock had gone on without maintenance or the queue were old.
func partitionsFrom(t tester, q querier, days ...int64) {
	t.Helper()
	do(t, q, `DO $$ DECLARE old record; BEGIN
		FOR old IN DELETE FROM penstock.partitions RETURNING first_day LOOP
			EXECUTE format('DROP TABLE penstock.%I, penstock.%I', penstock.partition_name('jobs', old.first_day),
				penstock.partition_name('attempts', old.first_day));
		END LOOP; END $$`)
	for _, day := range days {
		for _, kind := range []string{"jobs", "attempts"} {
			name := one[string](t, q, "SELECT penstock.partition_name($1, $2)", kind, day)
			do(t, q, fmt.Sprintf("CREATE TABLE penstock.%s PARTITION OF penstock.%s FOR VALUES FROM (%d) TO (%d)",
				name, kind, day*perDay, (day+1)*perDay))
		}
		do(t, q, "INSERT INTO penstock.partitions VALUES ($1, $1)", day)
	}
}

// days lists the first days of the partitions there are; their tables are checked to
// be there too.
func days(t tester, q querier) []int64 {
	t.Helper()
	found := list[int64](t, q, "SELECT first_day FROM penstock.partitions ORDER BY 1")
	for _, kind := range []string{"jobs", "attempts"} {
		require.Equal(t, int64(len(found)), one[int64](t, q,
			"SELECT count(*) FROM pg_inherits WHERE inhparent = ('penstock.' || $1)::regclass", kind), kind)
	}
	return found
}

// Ten days without maintenance cost nobody a job: ids keep to the newest day there
// is, and when somebody makes partitions again they go on from today.
func TestEnqueueNeedsNoMaintenance(t *testing.T) { // P1
	t.Parallel()
	db := testkit.New(t)
	now := today(t, db.Pool)
	by := worker(t, db.Pool, "q")
	partitionsFrom(t, db.Pool, now-17, now-11, now-10)
	do(t, db.Pool, "INSERT INTO penstock.retry_policies (queue, delay) VALUES ('q', '1 h')") // until again says so
	old := running(t, db.Pool, by, "q", "")
	require.Equal(t, now-10, old/perDay)
	require.Equal(t, answer{"accepted", "failed", "retrying"}, say(t, db.Pool, old, 1, "failed", "", ""))

	require.Equal(t, 8, one[int](t, db.Pool, "SELECT penstock.ensure_partitions()"))
	require.Equal(t, 0, one[int](t, db.Pool, "SELECT penstock.ensure_partitions()"), "there they are")
	require.Equal(t, []int64{now - 17, now - 11, now - 10, now, now + 1, now + 2, now + 3, now + 4, now + 5, now + 6, now + 7},
		days(t, db.Pool))
	young := running(t, db.Pool, by, "q", "")
	require.Equal(t, today(t, db.Pool), young/perDay)
	again(t, db.Pool, by, "q", old)
	require.Equal(t, answer{"accepted", "completed", "completed"}, say(t, db.Pool, old, 2, "completed", "", ""))
	require.Equal(t, []string{"completed", "running"}, list[string](t, db.Pool, "SELECT state FROM penstock.job_states ORDER BY id"))
}

// A clock that fell back, or partitions that begin tomorrow, do not stop enqueue either.
func TestEnqueueTakesTheOldestDayWhenAllAreAhead(t *testing.T) { // P1
	t.Parallel()
	db := testkit.New(t)
	now := today(t, db.Pool)
	partitionsFrom(t, db.Pool, now+2, now+3)
	require.Equal(t, now+2, one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")/perDay)
}

// A session remembers for a minute that today has a partition, and no longer.
func TestEnqueueMissesAPartitionForAMinuteAtMost(t *testing.T) { // P1
	t.Parallel()
	db := testkit.New(t)
	conn := session(t, db)
	now := today(t, conn)
	partitionsFrom(t, conn, now-1, now)
	do(t, conn, "SELECT penstock.enqueue('q', 'n')")
	do(t, conn, "DELETE FROM penstock.jobs")
	partitionsFrom(t, conn, now-1)
	do(t, conn, "SELECT set_config('penstock.covered', (current_setting('penstock.covered')::integer - 1)::text, false)") // a minute passed
	require.Equal(t, now-1, one[int64](t, conn, "SELECT penstock.enqueue('q', 'n')")/perDay)
	require.Equal(t, now-1, one[int64](t, conn, "SELECT penstock.enqueue('q', 'n')")/perDay, "what is not there is not remembered")
}

// A partition goes when nothing needs it: no job of it waits or runs, and its newest
// attempt is past retention.
func TestAPartitionIsKeptAsLongAsItIsNeeded(t *testing.T) { // P1
	t.Parallel()
	db := testkit.New(t)
	now := today(t, db.Pool)
	waits, runs, young, done, empty, recent := now-40, now-39, now-38, now-37, now-36, now-3
	partitionsFrom(t, db.Pool, waits, runs, young, done, empty, recent, now)
	for _, day := range []int64{waits, runs, young, done} {
		do(t, db.Pool, `INSERT INTO penstock.jobs (id, queue, name, data, enqueued_at) VALUES ($1, 'q', 'n', '{}', now())`, day*perDay+1)
	}
	do(t, db.Pool, `INSERT INTO penstock.pending (job_id, run_at, attempt, failures, crashes, priority, queue, name)
		VALUES ($1, now() + interval '1 year', 0, 0, 0, 5, 'q', 'n')`, waits*perDay+1)
	do(t, db.Pool, `INSERT INTO penstock.running (job_id, run_at, claimed_at, deadline, worker_id, attempt, failures, crashes, priority, queue, name)
		VALUES ($1, now(), now(), now(), 1, 1, 0, 0, 5, 'q', 'n')`, runs*perDay+1)
	for day, age := range map[int64]string{young: "1 day", done: "30 days"} {
		do(t, db.Pool, `INSERT INTO penstock.attempts (job_id, run_at, finished_at, attempt, priority, queue, name, outcome)
			VALUES ($1, now(), now() - $2::text::interval, 1, 5, 'q', 'n', 'completed')`, day*perDay+1, age)
	}
	drop := func() *int64 { return one[*int64](t, db.Pool, "SELECT penstock.drop_partitions()") }

	require.Equal(t, done, *drop(), "the oldest that nothing needs")
	require.Equal(t, empty, *drop())
	require.Nil(t, drop())
	require.Equal(t, []int64{waits, runs, young, recent, now}, days(t, db.Pool))

	do(t, db.Pool, "UPDATE penstock.settings SET retention = '2 days'")
	require.Equal(t, recent, *drop(), "retention is a setting")
	do(t, db.Pool, "UPDATE penstock.settings SET retention = '12 hours'")
	require.Equal(t, young, *drop(), "its attempt is past retention now")
	require.Nil(t, drop())

	do(t, db.Pool, "SELECT penstock.cancel($1)", waits*perDay+1)
	do(t, db.Pool, "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1])", runs*perDay+1)
	require.Nil(t, drop(), "they ended just now")
	do(t, db.Pool, "UPDATE penstock.attempts SET finished_at = now() - interval '1 day'")
	require.Equal(t, waits, *drop())
	require.Equal(t, runs, *drop())
	require.Equal(t, []int64{now}, days(t, db.Pool))
}

// The newest partition stays, however old it is: there is nowhere else to write to.
func TestTheNewestPartitionIsNeverDropped(t *testing.T) { // P1
	t.Parallel()
	db := testkit.New(t)
	now := today(t, db.Pool)
	partitionsFrom(t, db.Pool, now-90, now-80)
	require.Equal(t, now-90, one[int64](t, db.Pool, "SELECT penstock.drop_partitions()"))
	require.Nil(t, one[*int64](t, db.Pool, "SELECT penstock.drop_partitions()"))
	require.Equal(t, now-80, one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")/perDay)
}

// Dropping gives way: while a transaction is open on the tables it gives up within a
// moment, and enqueues in other sessions go on all along.
func TestDroppingAPartitionStopsNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql string }{
		{"a reader is open", "SELECT count(*) FROM penstock.jobs"},
		{"a reader of finished attempts is open", "SELECT count(*) FROM penstock.attempts"},
		{"an enqueue is open", "SELECT penstock.enqueue('q', 'n')"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := testkit.New(t)
			now := today(t, db.Pool)
			partitionsFrom(t, db.Pool, now-40, now)
			open, dropper, enqueuer := begin(t, db.Pool), session(t, db), session(t, db)
			do(t, open, c.sql)
			// Far more than the 100 ms that either may wait, and far less than forever.
			do(t, dropper, "SET statement_timeout = '5s'")
			do(t, enqueuer, "SET statement_timeout = '5s'")
			var wait sync.WaitGroup
			wait.Go(func() {
				for range 20 {
					if _, err := enqueuer.Exec(t.Context(), "SELECT penstock.enqueue('q', 'n')"); err != nil {
						t.Errorf("enqueue beside a drop: %v", err)
					}
				}
			})
			for range 3 {
				require.Nil(t, one[*int64](t, dropper, "SELECT penstock.drop_partitions()"))
			}
			wait.Wait()
			require.Equal(t, []int64{now - 40, now}, days(t, db.Pool))
			commit(t, open)
			require.Equal(t, now-40, one[int64](t, dropper, "SELECT penstock.drop_partitions()"))
			require.Equal(t, []int64{now}, days(t, db.Pool))
		})
	}
}

// Making partitions waits for no reader and no writer.
func TestMakingPartitionsGoesBesideOpenTransactions(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	open := begin(t, db.Pool)
	do(t, open, "SELECT penstock.enqueue('q', 'n')")
	do(t, open, "SELECT count(*) FROM penstock.attempts")
	require.Positive(t, one[int](t, db.Pool, "SELECT penstock.ensure_partitions(20)"))
	commit(t, open)
	made := days(t, db.Pool)
	require.Equal(t, today(t, db.Pool)+20, made[len(made)-1])
}

// Many at once make each partition once. Who does not get the lock within a moment
// says so and asks again.
func TestPartitionsAreMadeOnceHoweverManyMakeThem(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	now := today(t, db.Pool)
	partitionsFrom(t, db.Pool, now-1)
	const makers = 8
	made, errs := make([]int, makers), make([]error, makers)
	var wait sync.WaitGroup
	for n := range makers {
		conn := session(t, db)
		wait.Go(func() {
			for {
				errs[n] = conn.QueryRow(t.Context(), "SELECT penstock.ensure_partitions()").Scan(&made[n])
				var pg *pgconn.PgError
				if !errors.As(errs[n], &pg) || pg.Code != "55P03" {
					return
				}
			}
		})
	}
	wait.Wait()
	sum := 0
	for n := range makers {
		require.NoError(t, errs[n])
		sum += made[n]
	}
	require.Equal(t, 8, sum)
	require.Len(t, days(t, db.Pool), 9)
}

// A partition may span days; those that are there keep theirs, and none overlap.
func TestPartitionsSpanTheDaysThatAreSet(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	now := today(t, db.Pool)
	partitionsFrom(t, db.Pool, now-1, now+3)
	do(t, db.Pool, "UPDATE penstock.settings SET partition_days = 7")
	require.Equal(t, 2, one[int](t, db.Pool, "SELECT penstock.ensure_partitions(9)"))
	require.Equal(t, []string{
		fmt.Sprintf("%d-%d", now-1, now-1), fmt.Sprintf("%d-%d", now, now+2), fmt.Sprintf("%d-%d", now+3, now+3),
		fmt.Sprintf("%d-%d", now+4, now+10),
	},
		list[string](t, db.Pool, "SELECT first_day || '-' || last_day FROM penstock.partitions ORDER BY first_day"))
	require.Equal(t, now, one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")/perDay)
}

// touched lists the tables that a query reads from, as executed.
func touched(t tester, q querier, sql string) map[string]bool {
	t.Helper()
	var plans []map[string]any
	require.NoError(t, json.Unmarshal(one[[]byte](t, q, "EXPLAIN (ANALYZE, FORMAT JSON) "+sql), &plans))
	tables := map[string]bool{}
	var visit func(node map[string]any)
	visit = func(node map[string]any) {
		if table, ok := node["Relation Name"].(string); ok && node["Actual Loops"].(float64) > 0 {
			tables[table] = true
		}
		children, _ := node["Plans"].([]any)
		for _, child := range children {
			visit(child.(map[string]any))
		}
	}
	visit(plans[0]["Plan"].(map[string]any))
	return tables
}

// An id leads to its partition: looking for one job reads one, of however many.
func TestAnIDLeadsToOnePartition(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	id := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	require.Less(t, id, int64(1)<<53, "JavaScript can hold it")
	name := func(kind string) string {
		return one[string](t, db.Pool, "SELECT penstock.partition_name($1, $2)", kind, id/perDay)
	}
	require.Equal(t, map[string]bool{name("jobs"): true}, touched(t, db.Pool, fmt.Sprintf("SELECT * FROM penstock.jobs WHERE id = %d", id)))
	require.Equal(t, map[string]bool{name("attempts"): true}, touched(t, db.Pool, fmt.Sprintf("SELECT * FROM penstock.attempts WHERE job_id = %d", id)))
	require.Equal(t, map[string]bool{
		name("jobs"): true, name("attempts"): true, "pending": true, "running": true, "dead_jobs": true, "departures": true,
	},
		touched(t, db.Pool, fmt.Sprintf("SELECT * FROM penstock.job_states WHERE id = %d", id)))
}
