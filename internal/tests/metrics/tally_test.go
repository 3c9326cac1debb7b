package metrics_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// sums is what the samples of one step say of all queues.
type sums struct {
	Enqueued, Completed, Failed, Lost, Snoozed, Released, Cancelled, Expired, Died, Claimed int64
}

func (f *fixture) sums(t tester, step string) sums {
	t.Helper()
	return rows[sums](t, f, `SELECT coalesce(sum(enqueued), 0)::bigint, coalesce(sum(completed), 0)::bigint, coalesce(sum(failed), 0)::bigint,
		coalesce(sum(lost), 0)::bigint, coalesce(sum(snoozed), 0)::bigint, coalesce(sum(released), 0)::bigint,
		coalesce(sum(cancelled), 0)::bigint, coalesce(sum(expired), 0)::bigint, coalesce(sum(died), 0)::bigint,
		coalesce(sum(claimed), 0)::bigint FROM penstock.metric_samples WHERE step = $1`, step)[0]
}

// truth is the same from the rows themselves.
func (f *fixture) truth(t tester) sums {
	t.Helper()
	return rows[sums](t, f, `SELECT (SELECT count(*) FROM penstock.jobs), count(*) FILTER (WHERE outcome = 'completed'),
		count(*) FILTER (WHERE outcome = 'failed'), count(*) FILTER (WHERE outcome = 'lost'), count(*) FILTER (WHERE outcome = 'snoozed'),
		count(*) FILTER (WHERE outcome = 'released'), count(*) FILTER (WHERE outcome = 'cancelled'),
		count(*) FILTER (WHERE outcome = 'expired'),
		(SELECT count(*) FROM penstock.dead_jobs) + (SELECT count(*) FROM penstock.departures), count(*) FILTER (WHERE claimed_at IS NOT NULL)
		FROM penstock.attempts`)[0]
}

func TestEveryWayAJobComesAndAnAttemptEndsIsCountedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "deploy", 20)
	// A key that is held brings no job, alone or beside others.
	for range 2 {
		f.exec(t, `SELECT penstock.enqueue_many('q', '{deploy,deploy}', ARRAY['{}', '{}']::jsonb[],
			ARRAY['{"idempotencyKey": "k"}', NULL]::jsonb[])`)
	}
	f.requireCarried(t)
	f.look(t)
	l := f.claim(t, 23)
	require.Len(t, l, 23)
	f.requireCarried(t)
	f.finish(t, l[:5])
	f.finish(t, l[5:12], "completed", "failed", "dead", "snoozed", "released", "cancelled", "failed")
	f.finish(t, l[5:12], "completed", "failed", "dead", "snoozed", "released", "cancelled", "failed") // a repeat (P8)
	f.finish(t, l[:12])                                                                               // stale ones (P5)
	f.exec(t, "SELECT penstock.release_unheld('q', $1, $2)", f.worker, []int64{l[12].ID, l[13].ID, l[14].ID})
	f.exec(t, "UPDATE penstock.running SET deadline = '2000-01-01' WHERE job_id = $1", l[12].ID)
	f.exec(t, "SELECT penstock.fail_overdue()")
	f.exec(t, "UPDATE penstock.running SET crashes = 2 WHERE job_id = $1", l[13].ID)
	require.Equal(t, 2, ask[int](t, f, "SELECT penstock.bury($1, 0)", f.worker), "one returns, one has crashed thrice")
	f.requireCarried(t)

	waiting := ask[[]int64](t, f, "SELECT array_agg(job_id ORDER BY job_id) FROM penstock.pending")
	f.exec(t, "SELECT penstock.cancel($1), penstock.dead_letter($2)", waiting[0], waiting[1])
	f.exec(t, "UPDATE penstock.pending SET expires_at = '2000-01-01', run_at = '2000-01-01' WHERE job_id = ANY ($1)", waiting[2:4])
	f.exec(t, "SELECT penstock.expire_jobs(1)")
	f.worker = ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['q'])")
	f.claim(t, 1) // finds the other expired one on its way
	f.exec(t, "SELECT penstock.redrive('q', format('dlq_%s_%s', job_id, attempt)) FROM penstock.dead_jobs WHERE reason = 'manual'")
	f.requireCarried(t)

	truth := f.truth(t)
	require.Equal(t, sums{
		Enqueued: 24, Completed: 6, Failed: 5, Lost: 2, Snoozed: 1, Released: 9, Cancelled: 2, Expired: 2, Died: 3,
		Claimed: 23,
	}, truth)
	f.fold(t)
	f.requireCarried(t)
	f.sample(t)
	require.Equal(t, truth, f.sums(t, "minute"))
	f.requireCarried(t)
}

// held is how many jobs queue q holds.
type held struct{ Pending, Running int64 }

// requireCarried checks that what is carried forward of the queue is what is there.
func (f *fixture) requireCarried(t tester) {
	t.Helper()
	const counts = `SELECT coalesce(sum(waiting + scheduled + retrying), 0)::bigint, coalesce(sum(running), 0)::bigint FROM `
	require.Equal(t, rows[held](t, f, counts+"penstock.live_states WHERE queue = 'q'"), rows[held](t, f, counts+"penstock.carried_states('q')"))
}

func TestALongQueueIsNotCountedAnewAndStillRight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const long = 12_000
	f.enqueue(t, "deploy", 100)
	f.sample(t)
	for range 3 {
		f.enqueue(t, "deploy", long/3)
	}
	f.exec(t, `SELECT penstock.enqueue_many('q', array_fill('later'::text, ARRAY[50]), array_fill('{}'::jsonb, ARRAY[50]),
		array_fill('{"delay": 3600000}'::jsonb, ARRAY[50]))`)
	f.finish(t, f.claim(t, 30))
	f.claim(t, 7)
	f.exec(t, "UPDATE penstock.pending SET run_at = run_at - interval '1 hour' WHERE name = 'deploy'") // only a count would notice

	m, err := f.client.Metrics.Queue(t.Context(), "q", time.Hour)
	require.NoError(t, err)
	require.Equal(t, []int64{100 + long - 37, 50, 0, 7}, []int64{m.Metrics.Waiting, m.Metrics.Scheduled, m.Metrics.Retrying, m.Metrics.Running})
	require.Less(t, time.Duration(m.Metrics.OldestWaitingAge), time.Hour, "of the last look")
	all, err := f.client.Metrics.All(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Equal(t, m.Metrics.Waiting, all.Total.Waiting)

	f.exec(t, "UPDATE penstock.sampling SET next_look_at = clock_timestamp() - interval '2 minutes'") // nobody looks any more
	m, err = f.client.Metrics.Queue(t.Context(), "q", time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 100+long-37, m.Metrics.Waiting)
	require.Greater(t, time.Duration(m.Metrics.OldestWaitingAge), time.Hour, "counted now")
}

func TestWhatIsRolledBackIsNotCountedAndWhatCommitsLateIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	late, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	gone, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	for _, tx := range []pgx.Tx{late, gone} {
		_, err = tx.Exec(t.Context(), "SELECT penstock.enqueue('q', 'deploy')")
		require.NoError(t, err)
	}
	f.sample(t)
	require.Zero(t, f.sums(t, "minute").Enqueued)
	require.NoError(t, gone.Rollback(t.Context()))

	// Its hour is rolled up before it commits.
	f.exec(t, "UPDATE penstock.sampling SET rolled_to = clock_timestamp()")
	require.NoError(t, late.Commit(t.Context()))
	f.sample(t)
	for _, step := range []string{"minute", "hour", "day"} {
		require.EqualValues(t, 1, f.sums(t, step).Enqueued, step)
	}
}
