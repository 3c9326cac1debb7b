package sqltest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// heard returns the queues that a listener was told of up to now. What is asked of
// it: a message of the test's own, sent after them, is the sign that all have come.
func heard(t *testing.T, listener, sender *pgx.Conn) []string {
	t.Helper()
	do(t, sender, "NOTIFY penstock, 'that is all'")
	var queues []string
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		told, err := listener.WaitForNotification(ctx)
		cancel()
		require.NoError(t, err)
		if told.Payload == "that is all" {
			return queues
		}
		queues = append(queues, told.Payload)
	}
}

func sleeper(t *testing.T, db *testkit.DB, queue string) *pgx.Conn {
	t.Helper()
	conn := session(t, db)
	do(t, conn, "LISTEN penstock")
	do(t, conn, "SELECT penstock.start_listening($1)", queue)
	return conn
}

// NOTIFY makes commits wait for each other, so nobody sends one that nobody needs.
func TestEnqueueNotifiesOnlyThoseWhoSleep(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	sender := session(t, db)
	awake := session(t, db)
	do(t, awake, "LISTEN penstock")
	enqueue := "SELECT penstock.enqueue('q', 'n')"

	do(t, sender, enqueue)
	require.Empty(t, heard(t, awake, sender), "nobody sleeps")

	asleep := sleeper(t, db, "q")
	do(t, sender, "SELECT penstock.enqueue('elsewhere', 'n')")
	require.Empty(t, heard(t, asleep, sender), "nobody sleeps for that queue")
	do(t, sender, "SELECT penstock.enqueue('q', 'n', notify => false)")
	do(t, sender, "SELECT penstock.enqueue('q', 'n', delay => '1 minute')")
	require.Empty(t, heard(t, asleep, sender), "not asked to, or not due soon")
	do(t, sender, enqueue)
	require.Equal(t, []string{"q"}, heard(t, asleep, sender))

	do(t, asleep, "SELECT penstock.stop_listening('q')")
	freshSender := session(t, db)
	do(t, freshSender, enqueue)
	require.Empty(t, heard(t, asleep, freshSender), "it woke up")
}

// Who falls asleep while others sleep is heard of as long as one of them does.
func TestManyMaySleepForOneQueue(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	first, second := sleeper(t, db, "q"), sleeper(t, db, "q")
	do(t, first, "SELECT penstock.stop_listening('q')")
	sender := session(t, db)
	do(t, sender, "SELECT penstock.enqueue('q', 'n')")
	require.Equal(t, []string{"q"}, heard(t, second, sender))
}

// A session tells of a queue once in a window of 5 ms: who was woken polls for
// longer. The window is the session's and ends with the transaction that failed.
func TestEnqueueNotifiesOnceInAWindow(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	asleep, sender := sleeper(t, db, "q"), session(t, db)
	// A loop within one call: so quick that all of it would be hundreds of messages.
	do(t, sender, `DO $$ BEGIN FOR i IN 1..300 LOOP PERFORM penstock.enqueue('q', 'n'); COMMIT; END LOOP; END $$`)
	elapsed := one[float64](t, sender, "SELECT extract(epoch FROM max(enqueued_at) - min(enqueued_at))::float8 * 1000 FROM penstock.jobs")
	told := len(heard(t, asleep, sender))
	require.GreaterOrEqual(t, told, 1)
	require.LessOrEqual(t, told, int(elapsed/5)+2, "300 jobs in %.1f ms", elapsed)

	awaitWindow(t, sender)
	tx := begin(t, sender)
	do(t, tx, "SELECT penstock.enqueue('q', 'n')")
	do(t, tx, "ROLLBACK")
	do(t, sender, "SELECT penstock.enqueue('q', 'n')")
	require.Equal(t, []string{"q"}, heard(t, asleep, sender), "a rolled back notification does not count as sent")

	other := session(t, db)
	do(t, other, "SELECT penstock.enqueue('q', 'n')")
	require.Equal(t, []string{"q"}, heard(t, asleep, other), "each session has a window of its own")
}

// awaitWindow returns when the session may notify again, by the database's clock.
func awaitWindow(t *testing.T, q querier) {
	t.Helper()
	until := one[time.Time](t, q, "SELECT clock_timestamp() + interval '6 ms'")
	require.Eventually(t, func() bool {
		return one[bool](t, q, "SELECT clock_timestamp() > $1", until)
	}, patience, time.Millisecond)
}

// Whatever puts a due job into pending wakes sleepers: a retry, a release, a burial.
func TestJobsThatComeBackWakeSleepers(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, c := range []struct {
		name, sql string
		told      []string
	}{
		{"a retry at once", "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1], ARRAY['failed'], delays => ARRAY['0 s'::interval])", []string{"q"}},
		{"a retry in a minute does not", "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1], ARRAY['failed'], delays => ARRAY['60 s'::interval])", nil},
		{"a release", "SELECT penstock.release_unheld('q', worker_id, NULL) FROM penstock.running WHERE job_id = $1", []string{"q"}},
		{"a burial", "SELECT penstock.bury(worker_id, 0) FROM penstock.running WHERE job_id = $1", []string{"q"}},
		{"a completion does not", "SELECT penstock.finish('q', ARRAY[$1::bigint], ARRAY[1])", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			asleep, sender := sleeper(t, db, "q"), session(t, db)
			do(t, db.Pool, "DELETE FROM penstock.pending")
			id := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n', notify => false)")
			claim(t, db.Pool, "q", worker(t, db.Pool, "q"), 1)
			do(t, sender, c.sql, id)
			require.Equal(t, c.told, heard(t, asleep, sender))
		})
	}
}
