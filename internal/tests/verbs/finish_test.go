package sqltest_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// running enqueues a job in its queue with these further arguments and leases it.
func running(t tester, q querier, by int64, queue, further string) int64 {
	t.Helper()
	id := one[int64](t, q, "SELECT penstock.enqueue($1, 'n'"+further+")", queue)
	require.Equal(t, []int64{id}, ids(claim(t, q, queue, by, 1)))
	return id
}

// again leases a job that waits for its next attempt, however long.
func again(t tester, q querier, by int64, queue string, id int64) {
	t.Helper()
	do(t, q, "UPDATE penstock.pending SET run_at = now() WHERE job_id = $1", id)
	require.Equal(t, []int64{id}, ids(claim(t, q, queue, by, 1)))
}

// say ends the attempt of one job in queue q.
func say(t tester, q querier, id int64, attempt int32, outcome, classes, message string) answer {
	t.Helper()
	key := attemptKey{id, attempt}
	return tell(t, q, "q", []said{{attemptKey: key, Outcome: outcome, Classes: classes, Message: message, Delay: -1}}, false)[key]
}

// A write with a stale attempt changes nothing and is told so: the job went on, or
// ended otherwise, or is another queue's, or never was.
func TestAStaleAttemptChangesNothing(t *testing.T) { // P5
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	lost := running(t, db.Pool, by, "q", "")
	do(t, db.Pool, "SELECT penstock.bury($1, 0)", by)
	by = worker(t, db.Pool, "q")
	require.Equal(t, []lease{{lost, 2}}, claim(t, db.Pool, "q", by, 1))
	failed := running(t, db.Pool, by, "q", "")
	say(t, db.Pool, failed, 1, "failed", "", "")
	elsewhere := running(t, db.Pool, by, "elsewhere", "")

	before := everything(t, db.Pool)
	for _, c := range []struct {
		name    string
		id      int64
		attempt int32
		past    string
	}{
		{"the job runs again elsewhere", lost, 1, "lost"},
		{"an attempt that is yet to come", lost, 3, ""},
		{"it failed, and now says it completed", failed, 1, "failed"},
		{"another queue's job", elsewhere, 1, ""},
		{"no job", 42, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := attemptKey{c.id, c.attempt}
			for _, plain := range []bool{true, false} {
				got := tell(t, db.Pool, "q", []said{{attemptKey: key, Outcome: "completed", Delay: -1}}, plain)
				require.Equal(t, map[attemptKey]answer{key: {"lease_lost", c.past, ""}}, got)
			}
			refused(t, try(db.Pool, "SELECT penstock.complete('q', $1, $2)", c.id, c.attempt), "PN409", "")
			require.Equal(t, before, everything(t, db.Pool))
		})
	}
}

// A worker whose reply was lost says it again, and hears that it is done.
func TestARepeatedEndIsToldThatItIsDone(t *testing.T) { // P8
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	for _, c := range []struct{ outcome, recorded, state string }{
		{"completed", "completed", "completed"},
		{"failed", "failed", "retrying"},
		{"dead", "failed", "dead"},
		{"snoozed", "snoozed", "waiting"},
		{"released", "released", "waiting"},
		{"cancelled", "cancelled", "cancelled"},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			do(t, db.Pool, "DELETE FROM penstock.pending")
			id := running(t, db.Pool, by, "q", "")
			require.Equal(t, answer{"accepted", c.recorded, c.state}, say(t, db.Pool, id, 1, c.outcome, "", ""))
			before := everything(t, db.Pool)
			require.Equal(t, answer{"already_done", c.recorded, ""}, say(t, db.Pool, id, 1, c.outcome, "", ""))
			if c.outcome == "completed" {
				// Its transaction may hold effects that the first one committed (P6).
				refused(t, try(db.Pool, "SELECT penstock.complete('q', $1, 1)", id), "PN208", "")
			}
			require.Equal(t, before, everything(t, db.Pool))
		})
	}
}

// In a batch the stale word does not spoil the others', and the same word twice
// counts once.
func TestABatchEndsWhatIsStillLeased(t *testing.T) { // P5
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	for _, plain := range []bool{true, false} {
		a, b := running(t, db.Pool, by, "q", ""), running(t, db.Pool, by, "q", "")
		words := []said{
			{attemptKey: attemptKey{b, 1}, Outcome: "completed", Delay: -1},
			{attemptKey: attemptKey{a, 2}, Outcome: "completed", Delay: -1},
			{attemptKey: attemptKey{a, 1}, Outcome: "completed", Delay: -1},
			{attemptKey: attemptKey{a, 1}, Outcome: "completed", Delay: -1},
		}
		done := answer{"accepted", "completed", "completed"}
		require.Equal(t, map[attemptKey]answer{{a, 1}: done, {b, 1}: done, {a, 2}: {"lease_lost", "", ""}},
			tell(t, db.Pool, "q", words, plain))
	}
	require.Empty(t, tell(t, db.Pool, "q", nil, true))
	require.Equal(t, 4, one[int](t, db.Pool, "SELECT count(*) FROM penstock.attempts"))
}

// The handler's writes and the completion commit together or not at all.
func TestACompletionSharesTheCallersTransaction(t *testing.T) { // P6
	t.Parallel()
	db := testkit.New(t)
	do(t, db.Pool, "CREATE TABLE effects (job_id bigint)")
	by := worker(t, db.Pool, "q")
	id := running(t, db.Pool, by, "q", "")
	effects := func() int { return one[int](t, db.Pool, "SELECT count(*) FROM effects") }

	tx := begin(t, db.Pool)
	do(t, tx, "INSERT INTO effects VALUES ($1)", id)
	do(t, tx, "SELECT penstock.complete('q', $1, 1)", id)
	do(t, tx, "ROLLBACK")
	require.Zero(t, effects())
	require.Equal(t, 1, one[int](t, db.Pool, "SELECT count(*) FROM penstock.running"), "it still runs")

	do(t, db.Pool, "SELECT penstock.bury($1, 0)", by)
	tx = begin(t, db.Pool)
	do(t, tx, "INSERT INTO effects VALUES ($1)", id)
	refused(t, try(tx, "SELECT penstock.complete('q', $1, 1)", id), "PN409", "")
	ctx, cancel := soon()
	defer cancel()
	require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxCommitRollback, "a lost lease fails the transaction")
	require.Zero(t, effects())

	again(t, db.Pool, worker(t, db.Pool, "q"), "q", id)
	tx = begin(t, db.Pool)
	do(t, tx, "INSERT INTO effects VALUES ($1)", id)
	do(t, tx, `SELECT penstock.complete('q', $1, 2, '{"sum": 3}')`, id)
	commit(t, tx)
	require.Equal(t, 1, effects())
	require.Equal(t, `{"sum": 3}`, one[string](t, db.Pool, "SELECT result::text FROM penstock.attempts WHERE outcome = 'completed'"))
}

// Two ends of one attempt at once: the second waits for the first and learns how
// it went.
func TestAnEndThatWaitedLearnsHowItWent(t *testing.T) { // P4, P5, P8
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	for _, c := range []struct {
		name, end string
		plain     bool
		answer    answer
	}{
		{"it committed", "COMMIT", true, answer{"already_done", "completed", ""}},
		{"it committed, and this is another word", "COMMIT", false, answer{"lease_lost", "completed", ""}},
		{"it rolled back", "ROLLBACK", true, answer{"accepted", "completed", "completed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := running(t, db.Pool, by, "q", "")
			tx, second := begin(t, db.Pool), session(t, db)
			do(t, tx, "SELECT penstock.complete('q', $1, 1)", id)
			pid := one[int](t, second, "SELECT pg_backend_pid()")
			sql := "SELECT status, coalesce(outcome, ''), coalesce(state, '') FROM penstock.finish('q', ARRAY[$1::bigint], ARRAY[1]"
			if !c.plain {
				sql += ", ARRAY['failed']"
			}
			told := make(chan answer, 1)
			go func() {
				var a answer
				ctx, cancel := soon()
				defer cancel()
				_ = second.QueryRow(ctx, sql+")", id).Scan(&a.Status, &a.Outcome, &a.State)
				told <- a
			}()
			awaitBlocked(t, db, pid)
			do(t, tx, c.end)
			require.Equal(t, c.answer, <-told)
		})
	}
}

// A requested cancel ends the job however its attempt ends, unless it completed.
func TestACancelOutlivesEveryEndButCompletion(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	for _, c := range []struct{ outcome, becomes string }{
		{"failed", "cancelled"},
		{"dead", "cancelled"},
		{"snoozed", "cancelled"},
		{"released", "cancelled"},
		{"cancelled", "cancelled"},
		{"completed", "completed"},
	} {
		t.Run(c.outcome, func(t *testing.T) {
			id := running(t, db.Pool, by, "q", "")
			require.Equal(t, "cancelling", one[string](t, db.Pool, "SELECT penstock.cancel($1)", id))
			require.Equal(t, []int64{id}, one[[]int64](t, db.Pool, "SELECT penstock.heartbeat($1)", by), "the worker is told")
			require.Equal(t, answer{"accepted", c.becomes, c.becomes}, say(t, db.Pool, id, 1, c.outcome, "", ""))
			require.Equal(t, c.becomes, one[string](t, db.Pool, "SELECT state FROM penstock.job_states WHERE id = $1", id))
			require.Equal(t, "finished", one[string](t, db.Pool, "SELECT penstock.cancel($1)", id))
		})
	}
	t.Run("lost", func(t *testing.T) {
		id := running(t, db.Pool, by, "q", "")
		do(t, db.Pool, "SELECT penstock.cancel($1)", id)
		require.Equal(t, 1, one[int](t, db.Pool, "SELECT penstock.bury(id, beat) FROM penstock.workers WHERE id = $1", by))
		require.Equal(t, "cancelled", one[string](t, db.Pool, "SELECT state FROM penstock.job_states WHERE id = $1", id))
	})
}

// What a worker says at length is kept up to a bound, whole characters of it.
func TestLongErrorsAreCut(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	id := running(t, db.Pool, by, "q", "")
	long := strings.Repeat("é", 20_000)
	do(t, db.Pool, "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1], ARRAY['dead'], ARRAY[$2], ARRAY[$2], ARRAY[$2])", id, long)
	for _, table := range []string{"attempts", "dead_jobs"} {
		require.Equal(t, []int{200, 2000, 16000}, one[[]int](t, db.Pool,
			"SELECT ARRAY[length(error_class), length(message), length(detail)] FROM penstock."+table), table)
	}
}

// complete_many says nothing of what it accepted, and of the rest what finish would.
func TestTheShortWayAnswersOnlyWhatItDidNotAccept(t *testing.T) { // P5, P8
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	done, failed, open := running(t, db.Pool, by, "q", ""), running(t, db.Pool, by, "q", ""), running(t, db.Pool, by, "q", "")
	say(t, db.Pool, done, 1, "completed", "", "")
	say(t, db.Pool, failed, 1, "failed", "", "")

	const short = "SELECT c.job_id, c.status FROM penstock.complete_many('q', $1, $2) c ORDER BY c.job_id"
	type unaccepted struct {
		JobID  int64
		Status string
	}
	got := rows(t, db.Pool, pgx.RowToStructByPos[unaccepted], short, []int64{done, failed, open, 42}, []int32{1, 1, 1, 1})
	require.Equal(t, []unaccepted{{42, "lease_lost"}, {done, "already_done"}, {failed, "lease_lost"}}, got)
	require.Equal(t, "completed", one[string](t, db.Pool, "SELECT outcome FROM penstock.attempts WHERE job_id = $1", open))

	before := everything(t, db.Pool)
	require.Empty(t, rows(t, db.Pool, pgx.RowToStructByPos[unaccepted], short, []int64{}, []int32{}))
	refused(t, try(db.Pool, short, []int64{1, 2}, []int32{1}), "PN400", "attempts")
	refused(t, try(db.Pool, short, []int64{1}, nil), "PN400", "attempts")
	require.Equal(t, before, everything(t, db.Pool))
}
