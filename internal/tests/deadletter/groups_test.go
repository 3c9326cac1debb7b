package deadletter_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestErrorsThatDifferOnlyInNumbersIdsAndQuotesAreOneGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var deaths []death
	for i := range 3 {
		deaths = append(deaths, death{message: fmt.Sprintf(`block %d of "c%d" reverted`, i, i)})
	}
	deaths = append(deaths, death{outcome: "failed", class: "IOError", message: "disk full", NewJob: penstock.NewJob{MaxAttempts: 1}})
	ids := f.kill(t, deaths...)
	f.died(t, time.Hour, ids[0])
	elsewhere := f.kill(t, death{NewJob: penstock.NewJob{Queue: "r"}})

	groups, err := f.client.DLQ.Groups(t.Context(), "q", 10)
	require.NoError(t, err)
	require.Len(t, groups, 2, "the most frequent first, of this queue")
	g := groups[0]
	require.WithinDuration(t, time.Now().Add(-time.Hour), g.FirstSeen, patience)
	require.WithinDuration(t, time.Now(), g.LastSeen, patience)
	require.Equal(t, []any{"q", "Boom", "non_retryable", int64(3), int64(0), false}, []any{g.Queue, g.Class, g.Reason, g.Jobs, g.Retryable, g.Resolved})
	require.Equal(t, ids[2], g.ExampleID)
	require.Equal(t, `block 2 of "c2" reverted`, g.Example)
	require.Equal(t, []any{"IOError", int64(1), int64(1)}, []any{groups[1].Class, groups[1].Jobs, groups[1].Retryable})
	require.ElementsMatch(t, ids[:3], f.dead(t, penstock.DeadQuery{Queue: "q", Filter: penstock.DeadFilter{Fingerprint: g.Fingerprint}}))

	groups, err = f.client.DLQ.Groups(t.Context(), "", 500)
	require.NoError(t, err)
	require.Len(t, groups, 3, "of every queue")
	require.Contains(t, []int64{groups[1].ExampleID, groups[2].ExampleID}, elsewhere[0])
	groups, err = f.client.DLQ.Groups(t.Context(), "", 1)
	require.NoError(t, err)
	require.Len(t, groups, 1)
	for _, odd := range []int{0, 501} {
		_, err = f.client.DLQ.Groups(t.Context(), "", odd)
		refused(t, err, "limit", "1 to 500")
	}
}

func TestAResolvedGroupIsOpenAgainWhenItReturns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{})
	group := func() penstock.ErrorGroup {
		groups, err := f.client.DLQ.Groups(t.Context(), "q", 10)
		require.NoError(t, err)
		require.Len(t, groups, 1)
		return groups[0]
	}
	fingerprint := group().Fingerprint
	require.False(t, group().Resolved)

	require.NoError(t, f.client.As("ann").DLQ.ResolveGroup(t.Context(), "q", fingerprint, true))
	require.True(t, group().Resolved)
	require.NotNil(t, group().ResolvedAt)

	f.kill(t, death{message: "it broke"})
	require.False(t, group().Resolved, "it has returned")
	require.NotNil(t, group().ResolvedAt, "and was resolved once")

	require.NoError(t, f.client.DLQ.ResolveGroup(t.Context(), "q", fingerprint, true))
	require.True(t, group().Resolved)
	require.NoError(t, f.client.DLQ.ResolveGroup(t.Context(), "q", fingerprint, false))
	require.False(t, group().Resolved, "somebody reopened it")
	require.Nil(t, group().ResolvedAt)

	require.ErrorIs(t, f.client.DLQ.ResolveGroup(t.Context(), "q", "0123", true), penstock.ErrDeadJobNotFound)
	require.ErrorIs(t, f.client.DLQ.ResolveGroup(t.Context(), "r", fingerprint, true), penstock.ErrDeadJobNotFound)
	require.Equal(t, []string{"ann"}, list[string](t, f,
		"SELECT actor FROM penstock.audit_log WHERE action = 'error_groups.resolve' ORDER BY id LIMIT 1"))
}

func TestStatisticsAddUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	empty, err := f.client.DLQ.Stats(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, penstock.DeadStats{
		ByReason: []penstock.Count{}, ByClass: []penstock.Count{}, ByName: []penstock.Count{}, Left: []penstock.DeadLeft{},
	}, empty)

	once := penstock.NewJob{MaxAttempts: 1}
	ids := f.kill(t, append(repeat(5, death{}), append(repeat(3, death{NewJob: once, outcome: "failed", class: "IOError"}),
		death{NewJob: penstock.NewJob{Name: "b", MaxAttempts: 1}, outcome: "failed", class: "Timeout"})...)...)
	f.kill(t, death{NewJob: penstock.NewJob{Queue: "r"}})
	f.died(t, 48*time.Hour, ids[0])
	_, err = f.client.DLQ.RedriveJob(t.Context(), "q", entry(ids[1]), nil)
	require.NoError(t, err)
	_, err = f.client.DLQ.Purge(t.Context(), "q", time.Hour, penstock.DeadFilter{}, nil)
	require.NoError(t, err)
	f.died(t, time.Hour, ids[2])

	s, err := f.client.DLQ.Stats(t.Context(), "q")
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(-time.Hour), *s.Oldest, patience)
	require.WithinDuration(t, time.Now(), *s.Newest, patience)
	require.Len(t, s.Left, 1)
	require.Equal(t, []int64{1, 1}, []int64{s.Left[0].Redriven, s.Left[0].Purged})
	require.Equal(t, time.Now().UTC().Truncate(24*time.Hour), s.Left[0].Day)
	s.Oldest, s.Newest, s.Left = nil, nil, nil
	require.Equal(t, penstock.DeadStats{
		Total: 7, Retryable: 4, NonRetryable: 3, Scheduled: 4,
		ByReason: []penstock.Count{{Value: "exhausted", Jobs: 3}, {Value: "non_retryable", Jobs: 3}, {Value: "timeout", Jobs: 1}},
		ByClass:  []penstock.Count{{Value: "Boom", Jobs: 3}, {Value: "IOError", Jobs: 3}, {Value: "Timeout", Jobs: 1}},
		ByName:   []penstock.Count{{Value: "deploy", Jobs: 6}, {Value: "b", Jobs: 1}},
	}, s)

	every, err := f.client.DLQ.Stats(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, int64(8), every.Total)
	for _, sums := range [][]penstock.Count{every.ByReason, every.ByClass, every.ByName} {
		total := int64(0)
		for _, c := range sums {
			total += c.Jobs
		}
		require.Equal(t, every.Total, total)
	}
}

func TestAFloodOfErrorClassesHidesNoReasonFromTheStatistics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{})
	f.exec(t, `INSERT INTO penstock.dead_jobs SELECT (jsonb_populate_record(d, jsonb_build_object('job_id', d.job_id + n,
		'error_class', 'Class' || n))).* FROM penstock.dead_jobs d, generate_series(1, 1500) n`)
	s, err := f.client.DLQ.Stats(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, []penstock.Count{{Value: "non_retryable", Jobs: 1501}}, s.ByReason)
	require.Equal(t, []penstock.Count{{Value: "deploy", Jobs: 1501}}, s.ByName)
	require.NotEmpty(t, s.ByClass)
}
