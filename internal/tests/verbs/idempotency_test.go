package sqltest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

const keyed = "SELECT penstock.enqueue('q', 'n', $1, idempotency_key => $2)"

// A repeated key gives the first job's id, whatever else the repeat says; another
// queue's keys are other keys.
func TestARepeatedKeyGivesTheSameJob(t *testing.T) { // P7
	t.Parallel()
	db := testkit.New(t)
	first := one[int64](t, db.Pool, keyed, `{"n": 1}`, "k")
	require.Equal(t, first, one[int64](t, db.Pool, keyed, `{"n": 2}`, "k"))
	require.NotEqual(t, first, one[int64](t, db.Pool, keyed, `{"n": 3}`, "other"))
	require.NotEqual(t, first, one[int64](t, db.Pool, "SELECT penstock.enqueue('elsewhere', 'n', idempotency_key => 'k')"))
	require.Equal(t, `{"n": 1}`, one[string](t, db.Pool, "SELECT data::text FROM penstock.jobs WHERE id = $1", first))
	require.EqualValues(t, 3, one[int](t, db.Pool, "SELECT count(*) FROM penstock.pending"))
}

// The same key twice in a batch makes one job; keys that are new and keys that are
// held mix with jobs that have none.
func TestABatchMakesOneJobPerKey(t *testing.T) { // P7
	t.Parallel()
	db := testkit.New(t)
	held := one[int64](t, db.Pool, keyed, `{}`, "held")
	got := one[[]int64](t, db.Pool, `SELECT penstock.enqueue_many('q', '[
		{"name": "a", "data": 0, "idempotencyKey": "z"}, {"name": "a", "data": 1},
		{"name": "a", "data": 2, "idempotencyKey": "held"}, {"name": "a", "data": 3, "idempotencyKey": "z"},
		{"name": "a", "data": 4, "idempotencyKey": "a"}]'::jsonb)`)
	require.Equal(t, got[0], got[3], "one key, one job")
	require.Equal(t, held, got[2])
	require.Equal(t, []string{"0", "1", "4", "{}"}, list[string](t, db.Pool, "SELECT data::text FROM penstock.jobs ORDER BY 1"))
	require.EqualValues(t, 4, one[int](t, db.Pool, "SELECT count(DISTINCT job_id) FROM penstock.pending"))
}

// A key binds for 24 hours, or until its job has finished if that is later; then
// it is free for one new job.
func TestAKeyBindsForADayOrTheJobsLife(t *testing.T) { // P7
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	first := one[int64](t, db.Pool, keyed, `{}`, "k")
	again := func() int64 { return one[int64](t, db.Pool, keyed, `{}`, "k") }
	require.True(t, one[bool](t, db.Pool, `SELECT until - clock_timestamp() BETWEEN '23:59' AND '24:00' FROM penstock.idempotency_keys`))

	do(t, db.Pool, "UPDATE penstock.idempotency_keys SET until = clock_timestamp() - interval '1 second'")
	require.Equal(t, first, again(), "its job waits")
	claim(t, db.Pool, "q", by, 1)
	require.Equal(t, first, again(), "its job runs")
	do(t, db.Pool, "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1], ARRAY['failed'])", first)
	require.Equal(t, first, again(), "its job waits to be retried")
	do(t, db.Pool, "UPDATE penstock.pending SET run_at = now()")
	claim(t, db.Pool, "q", by, 1)
	do(t, db.Pool, "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[2])", first)

	second := again()
	require.NotEqual(t, first, second, "a day has passed and its job has finished")
	require.Equal(t, second, again(), "the new one has the key")
	claim(t, db.Pool, "q", by, 1)
	do(t, db.Pool, "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1])", second)
	require.Equal(t, second, again(), "its job has finished, but a day has not passed")
}

// However many call at once, one job is made and everybody is told of it.
func TestConcurrentCallsWithOneKeyMakeOneJob(t *testing.T) { // P7
	t.Parallel()
	db := testkit.New(t)
	const callers, calls = 8, 40
	got := make([][]int64, callers)
	start := make(chan struct{})
	var wait sync.WaitGroup
	for c := range callers {
		conn := session(t, db)
		wait.Go(func() {
			<-start
			for n := range calls {
				var id int64
				ctx, cancel := soon()
				// Half of them in batches, whose keys come in another order.
				sql, args := keyed, []any{`{}`, fmt.Sprint("k", n)}
				if c%2 == 1 {
					sql = `SELECT (penstock.enqueue_many('q', ARRAY['n', 'n'], ARRAY['1', '1']::jsonb[], ARRAY[
						jsonb_build_object('idempotencyKey', 'k' || $1::int), jsonb_build_object('idempotencyKey', 'k' || $2::int)]))[1]`
					args = []any{n, calls - 1 - n}
				}
				if err := conn.QueryRow(ctx, sql, args...).Scan(&id); err != nil {
					id = 0 // shows below
				}
				cancel()
				got[c] = append(got[c], id)
			}
		})
	}
	close(start)
	wait.Wait()
	for c := range callers {
		require.Equal(t, got[0], got[c])
	}
	require.NotContains(t, got[0], int64(0))
	require.EqualValues(t, calls, one[int](t, db.Pool, "SELECT count(*) FROM penstock.jobs"))
	require.EqualValues(t, calls, one[int](t, db.Pool, "SELECT count(*) FROM penstock.pending"))
}

// A call waits for a transaction that has taken its key, and whether that commits
// decides who gets it.
func TestAKeyHeldByAnOpenTransactionIsWaitedFor(t *testing.T) { // P7
	t.Parallel()
	db := testkit.New(t)
	for _, c := range []struct {
		name, key, end string
		expired        bool
		secondWins     bool
	}{
		{"it rolls back: the second wins", "a", "ROLLBACK", false, true},
		{"it commits: the first wins", "b", "COMMIT", false, false},
		{"a key that ran out, taken over and rolled back: the second wins", "c", "ROLLBACK", true, true},
		{"a key that ran out, taken over and committed: the first wins", "d", "COMMIT", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.expired {
				old := one[int64](t, db.Pool, keyed, `{}`, c.key)
				do(t, db.Pool, "SELECT penstock.cancel($1)", old)
				do(t, db.Pool, "UPDATE penstock.idempotency_keys SET until = now() - interval '1 hour' WHERE key = $1", c.key)
			}
			tx := begin(t, db.Pool)
			first := one[int64](t, tx, keyed, `{}`, c.key)
			second := session(t, db)
			pid := one[int](t, second, "SELECT pg_backend_pid()")
			answer := make(chan int64, 1)
			go func() {
				var id int64
				ctx, cancel := soon()
				defer cancel()
				_ = second.QueryRow(ctx, keyed, `{}`, c.key).Scan(&id)
				answer <- id
			}()
			awaitBlocked(t, db, pid)
			do(t, tx, c.end)
			id := <-answer
			require.NotZero(t, id)
			require.Equal(t, c.secondWins, id != first)
			require.Equal(t, []int64{id}, list[int64](t, db.Pool,
				"SELECT k.job_id FROM penstock.idempotency_keys k JOIN penstock.pending USING (job_id) WHERE k.key = $1", c.key))
		})
	}
}

// Who waits, for a key or for whoever changes the rules, holds nothing that others wait
// for and has its transaction's id, by which sweeps know how far to look back.
func TestAnEnqueueThatWaitsHoldsNothingElse(t *testing.T) { // P10
	t.Parallel()
	db := testkit.New(t)
	do(t, db.Pool, "SELECT penstock.set_rule('erring', 1, 'strict $.x.y.z', 'critical')")
	do(t, db.Pool, "SELECT penstock.enqueue('erring', 'n', '1')")
	for _, c := range []struct{ name, held, enqueue string }{
		{"alone, for a key", keyed, `enqueue('q', 'n', idempotency_key => '%s')`},
		{"among others, for a key", keyed, `enqueue_many('q', '{n,n}'::text[], '{1,1}'::jsonb[], array_fill('{"idempotencyKey": "%s"}'::jsonb, ARRAY[2]))`},
		{
			"by a rule that errs, for a key", `INSERT INTO penstock.idempotency_keys VALUES ('erring', $2, 1, now() + interval '1 day') RETURNING length($1)`,
			`enqueue('erring', 'n', '1', idempotency_key => '%s')`,
		},
		{"for whoever changes the rules", `SELECT 1 FROM penstock.set_rule('erring', 1, 'strict $.x.y.z', 'critical') WHERE $1 <> $2`, `enqueue('erring', 'n', '1') -- %s`},
	} {
		t.Run(c.name, func(t *testing.T) {
			do(t, db.Pool, "UPDATE penstock.priority_rule_errors SET last_seen = now() - interval '1 hour'")
			tx := begin(t, db.Pool)
			defer tx.Rollback(t.Context())
			one[int64](t, tx, c.held, `{}`, c.name)
			waiting := session(t, db)
			do(t, waiting, "SELECT penstock.enqueue('other', 'n')") // a sequence's first values of a session bring an id too
			pid := one[int](t, waiting, "SELECT pg_backend_pid()")
			done := make(chan error, 1)
			go func() {
				ctx, cancel := soon()
				defer cancel()
				_, err := waiting.Exec(ctx, "SELECT penstock."+fmt.Sprintf(c.enqueue, c.name))
				done <- err
			}()
			awaitBlocked(t, db, pid)
			require.True(t, one[bool](t, db.Pool, "SELECT backend_xid IS NOT NULL FROM pg_stat_activity WHERE pid = $1", pid))
			if strings.HasSuffix(c.name, "a key") {
				require.Zero(t, one[int](t, db.Pool, `SELECT count(*) FROM pg_locks WHERE pid = $1
					AND (locktype = 'advisory' OR relation = 'penstock.priority_rule_errors'::regclass AND mode = 'RowExclusiveLock')`, pid))
			}
			require.NoError(t, tx.Rollback(t.Context()))
			require.NoError(t, <-done)
		})
	}
}

// awaitBlocked returns when the session with this pid waits for a lock.
func awaitBlocked(t *testing.T, db *testkit.DB, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return one[bool](t, db.Pool, "SELECT cardinality(pg_blocking_pids($1)) > 0", pid)
	}, patience, 2*time.Millisecond, "session %d never waited for a lock", pid)
}

// Only keys that bind nobody are forgotten.
func TestPrunedKeysBoundNobody(t *testing.T) { // P7
	t.Parallel()
	db := testkit.New(t)
	for _, k := range []string{"waits", "ended", "young"} {
		do(t, db.Pool, keyed, `{}`, k)
	}
	do(t, db.Pool, "SELECT penstock.cancel(job_id) FROM penstock.idempotency_keys WHERE key <> 'waits'")
	do(t, db.Pool, "UPDATE penstock.idempotency_keys SET until = now() - interval '1 second' WHERE key <> 'young'")
	require.Equal(t, 1, one[int](t, db.Pool, "SELECT penstock.prune_keys()"))
	require.Equal(t, []string{"waits", "young"}, list[string](t, db.Pool, "SELECT key FROM penstock.idempotency_keys ORDER BY 1"))
}
