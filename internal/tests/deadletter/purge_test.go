package deadletter_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestAPurgeByAgeAndFilterIsRecordedPerEntryAndPerBatch(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, append(repeat(5, death{NewJob: penstock.NewJob{Name: "a"}}), repeat(2, death{NewJob: penstock.NewJob{Name: "b"}})...)...)
	f.died(t, 48*time.Hour, ids[0], ids[1], ids[2], ids[5])
	filter := penstock.DeadFilter{Name: "a"}

	dry, err := f.client.DLQ.Count(t.Context(), "q", penstock.DeadFilter{Name: "a", FailedTo: ptr(time.Now().Add(-24 * time.Hour))})
	require.NoError(t, err)
	require.Equal(t, penstock.DeadCount{Jobs: 3, Sample: reversed(ids[:3])}, dry)

	n, err := f.client.As("ann").DLQ.Purge(t.Context(), "q", 24*time.Hour, filter, nil)
	require.NoError(t, err)
	require.Equal(t, dry.Jobs, n)
	require.ElementsMatch(t, ids[3:], f.dead(t, penstock.DeadQuery{}))
	require.Equal(t, ids[:3], list[int64](t, f, `SELECT job_id FROM penstock.departures
		WHERE how = 'purged' AND actor = 'ann' AND new_job_id IS NULL AND attempt = 1 ORDER BY 1`))
	for _, id := range ids[:3] {
		require.Equal(t, penstock.Purged, f.state(t, id))
	}
	line := lastLine(t, f, "q")
	require.Equal(t, []string{"ann", "dead_jobs.purge"}, []string{line.Actor, line.Action})
	require.JSONEq(t, `{"olderThan": "24:00:00", "filter": {"name": "a"}, "jobs": 3}`, string(line.After))

	n, err = f.client.DLQ.Purge(t.Context(), "q", 24*time.Hour, filter, nil)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, line.ID, lastLine(t, f, "q").ID, "what does nothing is not recorded")
}

func TestAPurgeGoesInBatchesAndTellsOfEach(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(1200, death{})...)
	f.kill(t, death{NewJob: penstock.NewJob{Queue: "r"}})
	var told []int64
	n, err := f.client.DLQ.Purge(t.Context(), "", 0, penstock.DeadFilter{}, func(n int64) { told = append(told, n) })
	require.NoError(t, err)
	require.EqualValues(t, 1201, n)
	require.Equal(t, []int64{1000, 1201}, told)
	require.Equal(t, 1201, ask[int](t, f, "SELECT count(*) FROM penstock.departures"))
	require.Equal(t, []int{1000, 201}, list[int](t, f,
		"SELECT (after ->> 'jobs')::int FROM penstock.audit_log WHERE action = 'dead_jobs.purge' ORDER BY id"))
}

func TestConcurrentPurgesCountEachEntryOnce(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(2500, death{})...)
	var total atomic.Int64
	together(6, func(int) {
		n, err := f.client.DLQ.Purge(t.Context(), "q", 0, penstock.DeadFilter{}, nil)
		if err != nil {
			t.Errorf("purge: %v", err)
		}
		total.Add(n)
	})
	require.EqualValues(t, 2500, total.Load())
	require.Equal(t, 2500, ask[int](t, f, "SELECT count(*) FROM penstock.departures WHERE how = 'purged'"))
	require.Equal(t, 2500, ask[int](t, f, "SELECT sum((after ->> 'jobs')::int) FROM penstock.audit_log"))
	require.Empty(t, f.dead(t, penstock.DeadQuery{}))
}

func TestAPurgePassesOverWhatSomebodyHoldsAndGoesOnWithTheRest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, repeat(1100, death{})...)
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), "SELECT FROM penstock.dead_jobs WHERE job_id = ANY ($1) FOR UPDATE", ids[100:])
	require.NoError(t, err)
	n, err := f.client.DLQ.Purge(t.Context(), "q", 0, penstock.DeadFilter{}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 100, n, "a whole batch in another's hands is not the end")
}

func TestAPurgeOfANegativeAgeIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{})
	_, err := f.client.DLQ.Purge(t.Context(), "q", -time.Hour, penstock.DeadFilter{}, nil)
	refused(t, err, "older_than")
	require.Len(t, f.dead(t, penstock.DeadQuery{}), 1)
}

// lastLine is the newest line of the audit log about a queue.
func lastLine(t *testing.T, f *fixture, queue string) penstock.AuditLine {
	t.Helper()
	page, err := f.client.Audit.List(t.Context(), penstock.AuditQuery{Queue: queue, Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, page.Items)
	return page.Items[0]
}
