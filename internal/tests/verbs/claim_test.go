package sqltest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// put enqueues a job and moves its run_at by an offset from a fixed moment.
func put(t tester, q querier, queue string, priority int, runAt string) int64 {
	t.Helper()
	id := one[int64](t, q, "SELECT penstock.enqueue($1, 'n', '{}', $2::integer)", queue, priority)
	do(t, q, "UPDATE penstock.pending SET run_at = timestamptz '2026-01-01' + $2::text::interval WHERE job_id = $1", id, runAt)
	return id
}

// Within a queue: priority, then run_at, then id.
func TestClaimsGoByPriorityThenRunAtThenID(t *testing.T) { // P10
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	low := put(t, db.Pool, "q", 1, "0")
	late := put(t, db.Pool, "q", 20, "2 s")
	early := put(t, db.Pool, "q", 20, "1 s")
	tie := put(t, db.Pool, "q", 20, "2 s")
	usual := put(t, db.Pool, "q", 5, "0")
	top := put(t, db.Pool, "q", 100, "1 h")
	put(t, db.Pool, "elsewhere", 100, "0")
	do(t, db.Pool, "SELECT penstock.enqueue('q', 'n', '{}', 100, delay => '1 hour')")

	require.Equal(t, []int64{top, early}, ids(claim(t, db.Pool, "q", by, 2)))
	require.Equal(t, []int64{late, tie, usual, low}, ids(claim(t, db.Pool, "q", by, 10)))
	require.Empty(t, claim(t, db.Pool, "q", by, 10))
}

// A claim says all that a worker needs to run the job.
func TestAClaimTellsWhatToRunAndUntilWhen(t *testing.T) { // P4
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	do(t, db.Pool, `SELECT penstock.enqueue('q', 'own', '{"a": [1]}', 9, timeout => '7 s', tags => ARRAY['x'], trace_context => 'tc')`)
	do(t, db.Pool, `SELECT penstock.enqueue('q', 'usual')`)
	type told struct {
		Name, Data, Timeout string
		Attempt, Priority   int
		Tags                []string
		Trace               *string
	}
	sql := `SELECT name, data::text, timeout::text, attempt, priority, tags, trace_context FROM penstock.claim('q', $1, 9, '90 s')`
	tc := "tc"
	require.Equal(t, []told{
		{"own", `{"a": [1]}`, "00:00:07", 1, 9, []string{"x"}, &tc},
		{"usual", "{}", "00:01:30", 1, 5, nil, nil},
	}, rows(t, db.Pool, pgx.RowToStructByPos[told], sql, by))
	require.Equal(t, []bool{true, true}, list[bool](t, db.Pool,
		"SELECT worker_id = $1 AND deadline - claimed_at IN ('7 s', '90 s') FROM penstock.running", by))
}

// Two claims at once take different jobs, and neither waits for the other.
func TestClaimsPassOverWhatAnotherIsTaking(t *testing.T) { // P4
	t.Parallel()
	db := testkit.New(t)
	first, second := worker(t, db.Pool, "q"), worker(t, db.Pool, "q")
	enqueued := one[[]int64](t, db.Pool, `SELECT penstock.enqueue_many('q', array_fill('n'::text, ARRAY[7]), array_fill('1'::jsonb, ARRAY[7]))`)
	a, b := begin(t, db.Pool), begin(t, db.Pool)
	// Only a claim that waits for the other's locks runs into this.
	do(t, b, "SET LOCAL lock_timeout = '1s'")
	require.Equal(t, enqueued[:3], ids(claim(t, a, "q", first, 3)))
	require.Equal(t, enqueued[3:6], ids(claim(t, b, "q", second, 3)))
	do(t, a, "ROLLBACK")
	commit(t, b)
	require.Equal(t, append(enqueued[:3:3], enqueued[6]), ids(claim(t, db.Pool, "q", first, 9)), "what was rolled back waits again")
}

// Nobody waits for a job whose cancel is under way, and it is not claimed.
func TestClaimsPassOverAJobThatIsBeingCancelled(t *testing.T) { // P4
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	cancelled := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	other := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	tx, claimer := begin(t, db.Pool), session(t, db)
	do(t, tx, "SELECT penstock.cancel($1)", cancelled)
	do(t, claimer, "SET lock_timeout = '1s'")
	require.Equal(t, []int64{other}, ids(claim(t, claimer, "q", by, 9)))
	commit(t, tx)
	require.Empty(t, claim(t, claimer, "q", by, 9))
}

// A paused queue takes jobs and hands none out.
func TestAPausedQueueHandsOutNothing(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	do(t, db.Pool, "INSERT INTO penstock.queues (queue, paused) VALUES ('q', true)")
	id := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	other := one[int64](t, db.Pool, "SELECT penstock.enqueue('other', 'n')")
	require.Empty(t, claim(t, db.Pool, "q", by, 9))
	require.Equal(t, []int64{other}, ids(claim(t, db.Pool, "other", by, 9)))
	do(t, db.Pool, "UPDATE penstock.queues SET paused = false")
	require.Equal(t, []int64{id}, ids(claim(t, db.Pool, "q", by, 9)))
}

// A worker without a row leases nothing: it was buried and is told so.
func TestAnUnknownWorkerClaimsNothing(t *testing.T) { // P5
	t.Parallel()
	db := testkit.New(t)
	do(t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	for _, by := range []any{int64(4711), nil} {
		refused(t, try(db.Pool, "SELECT penstock.claim('q', $1::bigint, 1)", by), "PN410", "")
	}
	require.Zero(t, one[int](t, db.Pool, "SELECT count(*) FROM penstock.running"))
}

// A job that waited past its expires_in ends as expired when a claim meets it, and
// takes nobody's place: the next of its lane comes before any lower lane.
func TestAnExpiredJobIsNotRunAndTakesNobodysPlace(t *testing.T) { // P10
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	var high []int64
	for range 6 {
		high = append(high, one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n', '{}', 9, expires_in => '1 hour')"))
	}
	low := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n', '{}', 1)")
	do(t, db.Pool, "UPDATE penstock.pending SET expires_at = now() - interval '1 s' WHERE job_id = ANY ($1)", high[:3])
	require.Equal(t, high[3:5], ids(claim(t, db.Pool, "q", by, 2)))
	require.Equal(t, []int64{high[5], low}, ids(claim(t, db.Pool, "q", by, 9)))
	require.Equal(t, high[:3], list[int64](t, db.Pool,
		"SELECT job_id FROM penstock.attempts WHERE outcome = 'expired' AND claimed_at IS NULL AND attempt = 1 ORDER BY 1"))
}

// expires_in bounds the wait for a start: once started, a job is retried without a
// bound; one that was handed back unstarted still has it.
func TestExpiryBoundsTheWaitForAStartOnly(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	for _, c := range []struct {
		outcome string
		bound   bool
	}{{"failed", false}, {"snoozed", false}, {"released", true}} {
		t.Run(c.outcome, func(t *testing.T) {
			id := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n', expires_in => '1 hour')")
			require.Equal(t, []int64{id}, ids(claim(t, db.Pool, "q", by, 1)))
			do(t, db.Pool, "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1], ARRAY[$2], delays => ARRAY['1 day'::interval])", id, c.outcome)
			require.Equal(t, c.bound, one[bool](t, db.Pool, `SELECT p.expires_at IS NOT DISTINCT FROM j.expires_at
				FROM penstock.pending p JOIN penstock.jobs j ON j.id = p.job_id WHERE j.id = $1`, id))
		})
	}
}

// How long to sleep is the time to the next later job, in whichever lane.
func TestNextDueLooksAtEveryLane(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	due := func(swept bool) *float64 {
		return one[*float64](t, db.Pool, "SELECT extract(epoch FROM penstock.next_due('q', $1))::float8", swept)
	}
	require.Nil(t, due(true))
	do(t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	require.Nil(t, due(true), "it is due already")
	do(t, db.Pool, "SELECT penstock.enqueue('q', 'n', '{}', 100, delay => '2 hours')")
	do(t, db.Pool, "SELECT penstock.enqueue('q', 'n', '{}', 1, delay => '1 hour')")
	do(t, db.Pool, "SELECT penstock.enqueue('elsewhere', 'n', delay => '1 minute')")
	for _, swept := range []bool{true, false} {
		require.InDelta(t, 3600, *due(swept), 60)
	}
}

// What falls due between a claim and the question is not slept over.
func TestNextDueCountsFromTheClaim(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	since := func(ago string) *float64 {
		return one[*float64](t, db.Pool, "SELECT extract(epoch FROM penstock.next_due('q', true, $1))::float8", ago)
	}
	do(t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	do(t, db.Pool, "SELECT penstock.enqueue('q', 'n', delay => '1 hour')")
	require.LessOrEqual(t, *since("1 hour"), 0.0, "a claim an hour ago has not seen it")
	require.InDelta(t, 3600, *since("0"), 60, "one just now has")
}
