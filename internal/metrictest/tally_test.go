package metrictest

import (
	"testing"

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
	l := f.claim(t, 23)
	require.Len(t, l, 23)
	f.finish(t, l[:5])
	f.finish(t, l[5:12], "completed", "failed", "dead", "snoozed", "released", "cancelled", "failed")
	f.finish(t, l[5:12], "completed", "failed", "dead", "snoozed", "released", "cancelled", "failed") // a repeat (P8)
	f.finish(t, l[:12])                                                                               // stale ones (P5)
	f.exec(t, "SELECT penstock.release_unheld('q', $1, $2)", f.worker, []int64{l[12].ID, l[13].ID, l[14].ID})
	f.exec(t, "UPDATE penstock.running SET deadline = '2000-01-01' WHERE job_id = $1", l[12].ID)
	f.exec(t, "SELECT penstock.fail_overdue()")
	f.exec(t, "UPDATE penstock.running SET crashes = 2 WHERE job_id = $1", l[13].ID)
	require.Equal(t, 2, ask[int](t, f, "SELECT penstock.bury($1, 0)", f.worker), "one returns, one has crashed thrice")

	waiting := ask[[]int64](t, f, "SELECT array_agg(job_id ORDER BY job_id) FROM penstock.pending")
	f.exec(t, "SELECT penstock.cancel($1), penstock.dead_letter($2)", waiting[0], waiting[1])
	f.exec(t, "UPDATE penstock.pending SET expires_at = '2000-01-01', run_at = '2000-01-01' WHERE job_id = ANY ($1)", waiting[2:4])
	f.exec(t, "SELECT penstock.expire_jobs(1)")
	f.worker = ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['q'])")
	f.claim(t, 1) // finds the other expired one on its way
	f.exec(t, "SELECT penstock.redrive('q', format('dlq_%s_%s', job_id, attempt)) FROM penstock.dead_jobs WHERE reason = 'manual'")

	truth := f.truth(t)
	require.Equal(t, sums{
		Enqueued: 24, Completed: 6, Failed: 5, Lost: 2, Snoozed: 1, Released: 9, Cancelled: 2, Expired: 2, Died: 3,
		Claimed: 23,
	}, truth)
	f.sample(t)
	require.Equal(t, truth, f.sums(t, "minute"))
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
