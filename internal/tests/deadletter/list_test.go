package deadletter_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
)

func TestEachFilterFindsItsEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t,
		death{NewJob: penstock.NewJob{Name: "a", Tags: []string{"x", "y"}, Data: map[string]any{"n": 1, "who": "ann"}}},
		death{NewJob: penstock.NewJob{Name: "b", MaxAttempts: 1, Data: map[string]any{"n": 2, "on": "2026-01-01"}}, outcome: "failed", class: "IOError"},
		death{NewJob: penstock.NewJob{Name: "b", Tags: []string{"y"}, MaxAttempts: 1, Data: map[string]any{"n": 3}}, outcome: "failed", class: "Timeout"},
		death{NewJob: penstock.NewJob{Name: "c", Data: map[string]any{"n": 4}}, message: "another 4711"},
	)
	elsewhere := f.kill(t, death{NewJob: penstock.NewJob{Queue: "r"}})
	f.died(t, 3*time.Hour, ids[0])
	f.died(t, 2*time.Hour, ids[1])
	hour := func(h time.Duration) *time.Time { return ptr(time.Now().Add(-h*time.Hour - 30*time.Minute)) }
	group := ask[string](t, f, "SELECT fingerprint FROM penstock.dead_jobs WHERE job_id = $1", ids[3])

	for _, c := range []struct {
		name   string
		queue  string
		filter penstock.DeadFilter
		want   []int
	}{
		{"none finds all, the newest first", "q", penstock.DeadFilter{}, []int{3, 2, 1, 0}},
		{"reason", "q", penstock.DeadFilter{Reason: "exhausted"}, []int{1}},
		{"reason that none died of", "q", penstock.DeadFilter{Reason: "crash_loop"}, nil},
		{"class", "q", penstock.DeadFilter{Class: "Boom"}, []int{3, 0}},
		{"fingerprint", "q", penstock.DeadFilter{Fingerprint: group}, []int{3}},
		{"name", "q", penstock.DeadFilter{Name: "b"}, []int{2, 1}},
		{"tag", "q", penstock.DeadFilter{Tag: "y"}, []int{2, 0}},
		{"failed from", "q", penstock.DeadFilter{FailedFrom: hour(2)}, []int{3, 2, 1}},
		{"failed to", "q", penstock.DeadFilter{FailedTo: hour(2)}, []int{0}},
		{"failed between", "q", penstock.DeadFilter{FailedFrom: hour(2), FailedTo: hour(1)}, []int{1}},
		{"can retry", "q", penstock.DeadFilter{CanRetry: ptr(true)}, []int{2, 1}},
		{"cannot retry", "q", penstock.DeadFilter{CanRetry: ptr(false)}, []int{3, 0}},
		{"a jsonpath that is a predicate", "q", penstock.DeadFilter{Data: "$.n >= 2 && $.n < 4"}, []int{2, 1}},
		{"a jsonpath that finds something", "q", penstock.DeadFilter{Data: "$.who"}, []int{0}},
		{"a jsonpath with a filter", "q", penstock.DeadFilter{Data: `$.who ? (@ starts with "an")`}, []int{0}},
		{"a jsonpath that raises an error finds nothing", "q", penstock.DeadFilter{Data: "strict $.who.first"}, nil},
		{
			"a jsonpath that compares times with and without a zone", "q",
			penstock.DeadFilter{Data: `$.on.datetime() > "2020-01-01 00:00:00 +01:00".datetime()`},
			[]int{1},
		},
		{"all combined", "q", penstock.DeadFilter{
			Reason: "timeout", Class: "Timeout", Name: "b", Tag: "y", FailedFrom: hour(1), FailedTo: ptr(time.Now().Add(time.Hour)),
			CanRetry: ptr(true), Data: "$.n == 3",
		}, []int{2}},
		{"one of the combined that does not hold", "q", penstock.DeadFilter{Reason: "timeout", Name: "a"}, nil},
		{"another queue", "r", penstock.DeadFilter{}, []int{4}},
		{"every queue", "", penstock.DeadFilter{}, []int{4, 3, 2, 1, 0}},
		{"every queue by name", "", penstock.DeadFilter{Name: "deploy"}, []int{4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := append(append([]int64{}, ids...), elsewhere...)
			want := []int64{}
			for _, i := range c.want {
				want = append(want, all[i])
			}
			require.Equal(t, want, f.dead(t, penstock.DeadQuery{Queue: c.queue, Filter: c.filter}))
			require.Equal(t, want, f.dead(t, penstock.DeadQuery{Queue: c.queue, Filter: c.filter, Limit: 1}), "page by page")
			count, err := f.client.DLQ.Count(t.Context(), c.queue, c.filter)
			require.NoError(t, err)
			require.Equal(t, penstock.DeadCount{Jobs: int64(len(want)), Sample: want}, count, "a dry run finds the same")
		})
	}
}

// Any mixture of filters finds what a reading of each entry finds.
func TestFiltersCombineLikeConditions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	type facts struct {
		id         int64
		name, tag  string
		class      string
		n          int
		retryable  bool
		hoursSince int
	}
	all := make([]facts, 60)
	deaths := make([]death, len(all))
	for i := range all {
		x := facts{
			name: string('a' + rune(i%3)), tag: string('u' + rune(i%4)), class: []string{"IOError", "NotFoundError"}[i%2],
			n: i % 5, retryable: i%2 == 0, hoursSince: i % 7,
		}
		all[i] = x
		deaths[i] = death{
			NewJob:  penstock.NewJob{Name: x.name, Tags: []string{x.tag}, MaxAttempts: 1, Data: map[string]int{"n": x.n}},
			outcome: "failed", class: x.class,
		}
	}
	for i, id := range f.kill(t, deaths...) {
		all[i].id = id
		f.died(t, time.Duration(all[i].hoursSince)*time.Hour, id)
	}
	now := ask[time.Time](t, f, "SELECT clock_timestamp()")
	rapid.Check(t, func(t *rapid.T) {
		var filter penstock.DeadFilter
		holds := []func(facts) bool{}
		add := func(what string, hold func() func(facts) bool) {
			if rapid.Bool().Draw(t, what) {
				holds = append(holds, hold())
			}
		}
		add("by name", func() func(facts) bool {
			filter.Name = rapid.SampledFrom([]string{"a", "b", "z"}).Draw(t, "name")
			return func(x facts) bool { return x.name == filter.Name }
		})
		add("by tag", func() func(facts) bool {
			filter.Tag = rapid.SampledFrom([]string{"u", "v"}).Draw(t, "tag")
			return func(x facts) bool { return x.tag == filter.Tag }
		})
		add("by class", func() func(facts) bool {
			filter.Class = rapid.SampledFrom([]string{"IOError", "NotFoundError"}).Draw(t, "class")
			return func(x facts) bool { return x.class == filter.Class }
		})
		add("by retryability", func() func(facts) bool {
			filter.CanRetry = ptr(rapid.Bool().Draw(t, "can retry"))
			return func(x facts) bool { return x.retryable == *filter.CanRetry }
		})
		add("by data", func() func(facts) bool {
			least := rapid.IntRange(0, 4).Draw(t, "least n")
			filter.Data = fmt.Sprintf("$.n >= %d", least)
			return func(x facts) bool { return x.n >= least }
		})
		add("by age", func() func(facts) bool {
			h := rapid.IntRange(0, 6).Draw(t, "hours")
			filter.FailedFrom = ptr(now.Add(-time.Duration(h)*time.Hour - 30*time.Minute))
			return func(x facts) bool { return x.hoursSince <= h }
		})
		want := []int64{}
		for _, x := range all {
			keep := true
			for _, hold := range holds {
				keep = keep && hold(x)
			}
			if keep {
				want = append(want, x.id)
			}
		}
		limit := rapid.SampledFrom([]int{1, 7, 500}).Draw(t, "limit")
		require.Equal(t, want, sorted(f.dead(t, penstock.DeadQuery{Queue: "q", Filter: filter, Limit: limit})))
	})
}

func TestCursorsWalkEachEntryOnceWhileOthersArriveAndLeave(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, repeat(300, death{})...)
	// Deaths of one batch share a moment; the ids then tell them apart.
	staying, leaving := []int64{}, []int64{}
	for i, id := range ids {
		if i%3 == 0 {
			leaving = append(leaving, id)
		} else {
			staying = append(staying, id)
		}
	}
	var walked atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, id := range leaving {
			_, err := f.client.DLQ.RedriveJob(t.Context(), "q", entry(id), nil)
			if err != nil {
				t.Errorf("redrive: %v", err)
				return
			}
			if i%10 == 0 {
				f.kill(t, death{NewJob: penstock.NewJob{Queue: "arrivals"}})
			}
			if walked.Load() > 3 {
				return
			}
		}
	}()
	for more := true; more; walked.Add(1) {
		seen := map[int64]int{}
		for _, id := range f.dead(t, penstock.DeadQuery{Limit: 7}) { // of every queue
			seen[id]++
			require.Equal(t, 1, seen[id], "no entry twice")
		}
		for _, id := range staying {
			require.Equal(t, 1, seen[id], "what stays is found")
		}
		select {
		case <-done:
			more = false
		default:
		}
	}
}

func TestAPageHas1To500EntriesAnd50WhenNobodySays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, repeat(501, death{})...)
	for _, c := range []struct{ limit, want int }{{0, 50}, {1, 1}, {500, 500}} {
		page, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{Limit: c.limit})
		require.NoError(t, err)
		require.Len(t, page.Items, c.want)
		require.NotEmpty(t, page.Next)
	}
	for _, odd := range []int{-1, 501} {
		_, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{Limit: odd})
		refused(t, err, "limit", "1 to 500")
	}
	require.Equal(t, reversed(ids), f.dead(t, penstock.DeadQuery{Limit: 500}))
}

func TestAPageReadsABoundedNumberOfEntriesAndMayBeEmptyWithANext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old := f.kill(t, death{NewJob: penstock.NewJob{Name: "rare"}})[0]
	f.died(t, 24*time.Hour, old)
	// Copies of one entry stand for ten thousand newer deaths.
	f.exec(t, `INSERT INTO penstock.dead_jobs SELECT (jsonb_populate_record(d, jsonb_build_object('job_id', d.job_id + n, 'name', 'common',
		'failed_at', clock_timestamp() - n * interval '1 second'))).* FROM penstock.dead_jobs d, generate_series(1, 10000) n`)
	q := penstock.DeadQuery{Queue: "q", Filter: penstock.DeadFilter{Name: "rare"}}
	page, err := f.client.DLQ.List(t.Context(), q)
	require.NoError(t, err)
	require.Empty(t, page.Items)
	require.NotEmpty(t, page.Next, "it read ten thousand and there are more")
	q.Cursor = page.Next
	page, err = f.client.DLQ.List(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Equal(t, old, page.Items[0].JobID)
	require.Empty(t, page.Next)
}

func TestACursorOfAnotherQueryIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(3, death{})...)
	q := penstock.DeadQuery{Queue: "q", Filter: penstock.DeadFilter{Name: "deploy"}, Limit: 1}
	page, err := f.client.DLQ.List(t.Context(), q)
	require.NoError(t, err)
	jobs, err := f.client.Jobs(t.Context(), penstock.JobQuery{Limit: 1})
	require.NoError(t, err)

	for name, other := range map[string]penstock.DeadQuery{
		"another filter":  {Queue: "q", Filter: penstock.DeadFilter{Name: "other"}, Cursor: page.Next},
		"another queue":   {Queue: "r", Filter: q.Filter, Cursor: page.Next},
		"another list":    {Queue: "q", Filter: q.Filter, Cursor: jobs.Next},
		"not base64":      {Cursor: "%%%"},
		"not JSON":        {Cursor: "YWJj"},
		"far too long":    {Cursor: short("A", 10_000)},
		"not of a cursor": {Cursor: "W10"},
	} {
		_, err := f.client.DLQ.List(t.Context(), other)
		refused(t, err, "cursor")
		_, err = f.client.Jobs(t.Context(), penstock.JobQuery{Cursor: other.Cursor, Filter: penstock.JobFilter{Queue: "zz"}})
		refused(t, err, "cursor")
		require.NotEmpty(t, name)
	}
	q.Limit, q.Cursor = 2, page.Next
	page, err = f.client.DLQ.List(t.Context(), q)
	require.NoError(t, err, "another limit is the same query")
	require.Len(t, page.Items, 2)
}

func TestAFilterThatMakesNoSenseIsRefusedWithItsField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{})
	for _, c := range []struct {
		name   string
		filter penstock.DeadFilter
		field  string
		words  string
	}{
		{"a jsonpath that does not parse says where", penstock.DeadFilter{Data: "$.a == = 1"}, "filter.data", `at or near "="`},
		{"a jsonpath that ends too early", penstock.DeadFilter{Data: "$.a == "}, "filter.data", "end of"},
		{"a jsonpath with a variable", penstock.DeadFilter{Data: "$.a == $b"}, "filter.data", "without variables"},
		{"a jsonpath with a broken regular expression", penstock.DeadFilter{Data: `$.a like_regex "("`}, "filter.data", "regular expression"},
		{"a name of 257 characters", penstock.DeadFilter{Name: short("n", 257)}, "filter.name", "1 to 256 characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{Filter: c.filter})
			refused(t, err, c.field, c.words)
			_, err = f.client.DLQ.Count(t.Context(), "q", c.filter)
			refused(t, err, c.field, c.words)
			_, err = f.client.DLQ.Purge(t.Context(), "q", 0, c.filter, nil)
			refused(t, err, c.field, c.words)
			_, err = f.client.DLQ.Redrive(t.Context(), penstock.RedriveRequest{Queue: "q", Filter: c.filter})
			refused(t, err, c.field, c.words)
		})
	}
	require.Equal(t, 1, ask[int](t, f, "SELECT count(*) FROM penstock.dead_jobs"), "nothing was purged")
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.redrives"))
}

func TestAFilterInSQLIsRefusedWithItsField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for filter, field := range map[string]string{
		`{"failedTo": "soon"}`:   "filter.failedTo",
		`{"failedFrom": 5}`:      "filter.failedFrom",
		`{"canRetry": "yes"}`:    "filter.canRetry",
		`{"reason": 5}`:          "filter.reason",
		`{"reason": ""}`:         "filter.reason",
		`{"colour": "red"}`:      "filter",
		`["reason"]`:             "filter",
		`"reason"`:               "filter",
		`{"data": {"a": "$.b"}}`: "filter.data",
	} {
		for _, verb := range []string{
			"SELECT penstock.purge_dead('q', '0', $1::jsonb)", "SELECT penstock.start_redrive('q', $1::jsonb)",
			"SELECT penstock.find_dead('q', $1::jsonb, NULL, NULL, 10, 10)",
		} {
			_, err := f.Pool.Exec(t.Context(), verb, json.RawMessage(filter))
			refusedSQL(t, err, field)
		}
	}
}
