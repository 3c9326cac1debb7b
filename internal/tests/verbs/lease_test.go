package sqltest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// A worker is buried by the beat that was seen to stand still, and not if it has
// beaten since; what it held runs again at once.
func TestOnlyTheSilentAreBuried(t *testing.T) { // P4, P9, P12
	t.Parallel()
	db := testkit.New(t)
	silent, alive := worker(t, db.Pool, "q"), worker(t, db.Pool, "q")
	lost := running(t, db.Pool, silent, "q", "")
	kept := running(t, db.Pool, alive, "q", "")
	require.NotNil(t, one[[]int64](t, db.Pool, "SELECT penstock.heartbeat($1)", alive))
	require.Nil(t, one[*int](t, db.Pool, "SELECT penstock.bury($1, 0)", alive), "it has beaten")
	require.Equal(t, 1, one[int](t, db.Pool, "SELECT penstock.bury($1, 0)", silent))
	require.Nil(t, one[*int](t, db.Pool, "SELECT penstock.bury($1, 0)", silent), "once")

	require.Equal(t, []lease{{lost, 2}}, claim(t, db.Pool, "q", alive, 9))
	require.ElementsMatch(t, []int64{lost, kept}, list[int64](t, db.Pool, "SELECT job_id FROM penstock.running"))
	require.Nil(t, one[[]int64](t, db.Pool, "SELECT penstock.heartbeat($1)", silent), "who wakes up from the dead is told")
	require.Equal(t, answer{"lease_lost", "lost", ""}, say(t, db.Pool, lost, 1, "completed", "", ""))
}

// A claim that commits after its worker was buried leaves an orphan, which is swept.
func TestAnOrphanedLeaseIsSwept(t *testing.T) { // P1, P9
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	id := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	late := begin(t, db.Pool)
	require.Equal(t, []int64{id}, ids(claim(t, late, "q", by, 1)))
	require.Zero(t, one[int](t, db.Pool, "SELECT penstock.bury($1, 0)", by), "the claim is not there yet")
	require.Zero(t, one[int](t, db.Pool, "SELECT penstock.bury_orphans()"))
	commit(t, late)
	require.Equal(t, 1, one[int](t, db.Pool, "SELECT penstock.bury_orphans()"))
	require.Equal(t, []lease{{id, 2}}, claim(t, db.Pool, "q", worker(t, db.Pool, "q"), 1))
	require.Zero(t, one[int](t, db.Pool, "SELECT penstock.bury_orphans()"), "the living keep theirs")
}

// A frozen handler's open transaction keeps its own attempt, not its worker's others.
func TestABurialPassesOverWhatIsLocked(t *testing.T) { // P9
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	frozen, other := running(t, db.Pool, by, "q", ""), running(t, db.Pool, by, "q", "")
	tx, sweeper := begin(t, db.Pool), session(t, db)
	do(t, tx, "SELECT penstock.complete('q', $1, 1)", frozen)
	do(t, sweeper, "SET lock_timeout = '1s'")
	require.Equal(t, 1, one[int](t, sweeper, "SELECT penstock.bury($1, 0)", by))
	require.Equal(t, []lease{{other, 2}}, claim(t, sweeper, "q", worker(t, sweeper, "q"), 9))
	require.Zero(t, one[int](t, sweeper, "SELECT penstock.bury_orphans()"))
	do(t, tx, "ROLLBACK")
	require.Equal(t, 1, one[int](t, sweeper, "SELECT penstock.bury_orphans()"))
}

// A claim whose reply was lost leaves leases that nobody holds; they are handed back
// at no cost, and only those.
func TestWhatNobodyHoldsIsReleased(t *testing.T) { // P3
	t.Parallel()
	db := testkit.New(t)
	by, other := worker(t, db.Pool, "q"), worker(t, db.Pool, "q")
	held, unheld := running(t, db.Pool, by, "q", ""), running(t, db.Pool, by, "q", "")
	running(t, db.Pool, other, "q", "")
	running(t, db.Pool, by, "elsewhere", "")
	release := func(held []int64) int {
		return one[int](t, db.Pool, "SELECT penstock.release_unheld('q', $1, $2)", by, held)
	}
	require.Zero(t, one[int](t, db.Pool, "SELECT penstock.release_unheld('q', $1, ARRAY[NULL, $2::bigint])", by, held), "it does not know what it holds")
	require.Equal(t, 1, release([]int64{held}))
	require.Zero(t, release([]int64{held}))
	require.Equal(t, []int64{unheld}, list[int64](t, db.Pool, "SELECT job_id FROM penstock.pending WHERE failures + crashes = 0"))
	require.Equal(t, 1, release(nil), "none held is all released")
	require.Equal(t, 2, one[int](t, db.Pool, "SELECT count(*) FROM penstock.running"))
}

// Who leaves gives back what it holds at no cost, and is gone.
func TestALeavingWorkerGivesBackItsJobs(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	by, other := worker(t, db.Pool, "q"), worker(t, db.Pool, "q")
	running(t, db.Pool, by, "q", "")
	running(t, db.Pool, by, "elsewhere", "")
	running(t, db.Pool, other, "q", "")
	require.Equal(t, 2, one[int](t, db.Pool, "SELECT penstock.deregister_worker($1)", by))
	require.Equal(t, 2, one[int](t, db.Pool, "SELECT count(*) FROM penstock.pending WHERE failures + crashes = 0"))
	require.Equal(t, []int64{other}, list[int64](t, db.Pool, "SELECT id FROM penstock.workers"))
	require.Zero(t, one[int](t, db.Pool, "SELECT penstock.deregister_worker($1)", by), "twice does nothing")
}

// A living worker that does not end an attempt in time loses it as a failure.
func TestAnOverdueAttemptFails(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	late, inTime := running(t, db.Pool, by, "q", ""), running(t, db.Pool, by, "q", "")
	do(t, db.Pool, "UPDATE penstock.running SET deadline = clock_timestamp() - interval '20 s' WHERE job_id = $1", late)
	require.Zero(t, one[int](t, db.Pool, "SELECT penstock.fail_overdue('1 minute')"), "there is a grace")
	require.Equal(t, 1, one[int](t, db.Pool, "SELECT penstock.fail_overdue('10 s')"))
	require.Equal(t, []int64{inTime}, list[int64](t, db.Pool, "SELECT job_id FROM penstock.running"))
	require.Equal(t, "failed Timeout", one[string](t, db.Pool, "SELECT outcome || ' ' || error_class FROM penstock.attempts"))
	require.Equal(t, 1, one[int](t, db.Pool, "SELECT failures FROM penstock.pending"))
	require.Equal(t, answer{"lease_lost", "failed", ""}, say(t, db.Pool, late, 1, "completed", "", "")) // P5
}

// A waiting job ends at once when it is cancelled, a running one when its worker says
// so, an ended one not at all, and of an unknown one nothing is known.
func TestCancelSaysWhatItDid(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	runs := running(t, db.Pool, by, "q", "")
	waits := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n', delay => '1 day')")
	cancel := func(id int64) *string { return one[*string](t, db.Pool, "SELECT penstock.cancel($1)", id) }
	for _, c := range []struct {
		id   int64
		word string
	}{{waits, "cancelled"}, {waits, "finished"}, {runs, "cancelling"}, {runs, "cancelling"}} {
		require.Equal(t, c.word, *cancel(c.id))
	}
	require.Nil(t, cancel(7))
	require.Equal(t, []string{"running", "cancelled"}, list[string](t, db.Pool, "SELECT state FROM penstock.job_states ORDER BY id"))
}

// Jobs that nobody claims expire all the same, whether due or not.
func TestExpiredJobsEndWithoutAClaim(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, further := range []string{"expires_in => '1 hour'", "expires_in => '1 hour', delay => '1 day'", "delay => '1 day'"} {
		do(t, db.Pool, "SELECT penstock.enqueue('q', 'n', "+further+")")
	}
	require.Zero(t, one[int](t, db.Pool, "SELECT penstock.expire_jobs()"))
	do(t, db.Pool, "UPDATE penstock.pending SET expires_at = expires_at - interval '2 hours'")
	require.Equal(t, 1, one[int](t, db.Pool, "SELECT penstock.expire_jobs(1)"))
	require.Equal(t, 1, one[int](t, db.Pool, "SELECT penstock.expire_jobs()"))
	require.Equal(t, []string{"expired", "expired", "scheduled"}, list[string](t, db.Pool, "SELECT state FROM penstock.job_states ORDER BY id"))
}
