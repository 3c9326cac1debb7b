package metrics_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
)

func TestFiveAtOnceFoldEachTallyOnceWhileJobsEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "deploy", 2000)
	var work, fold sync.WaitGroup
	worked := make(chan struct{})
	for range 2 {
		work.Go(func() {
			for l := f.claim(t, 20); len(l) > 0; l = f.claim(t, 20) {
				f.finish(t, l)
			}
		})
	}
	for range 5 {
		fold.Go(func() {
			for over := false; !over; {
				select {
				case <-worked:
					over = true
				default:
				}
				f.exec(t, "UPDATE penstock.sampling SET next_look_at = '-infinity'")
				f.exec(t, "SELECT penstock.sample_metrics(7)")
			}
		})
	}
	work.Wait()
	close(worked)
	fold.Wait()
	f.sample(t)
	require.Equal(t, f.truth(t), f.sums(t, "minute"))
	require.EqualValues(t, 2000, ask[int64](t, f, "SELECT sum(jobs)::bigint FROM penstock.latency_samples WHERE metric = 'total' AND name = '*'"))
	require.EqualValues(t, 2000, ask[int64](t, f, "SELECT sum(c)::bigint FROM penstock.latency_samples, unnest(counts) c WHERE metric = 'wait' AND name = 'deploy'"))
}

func TestAFoldThatIsKilledHasDoneNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "deploy", 10)
	f.finish(t, f.claim(t, 10))
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	var pid int
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT pg_backend_pid() FROM penstock.sample_metrics()").Scan(&pid))
	require.Nil(t, ask[*int](t, f, "SELECT penstock.sample_metrics()"), "somebody is at it")
	require.True(t, ask[bool](t, f, "SELECT pg_terminate_backend($1, 10000)", pid))
	require.Error(t, tx.Commit(t.Context()))
	require.Zero(t, f.sums(t, "minute").Completed)
	f.sample(t)
	require.EqualValues(t, 10, f.sums(t, "minute").Completed)
}

func TestTheStateIsLookedAtEveryTenSecondsHoweverManyAsk(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "deploy", 3)
	for range 5 {
		f.exec(t, "SELECT penstock.sample_metrics()")
	}
	require.Equal(t, 1, ask[int](t, f, "SELECT samples FROM penstock.metric_samples WHERE queue = 'q'"))
	f.enqueue(t, "deploy", 4)
	f.sample(t)
	h, err := f.client.Metrics.History(t.Context(), penstock.HistoryQuery{Queue: "q", From: time.Now().Add(-2 * time.Minute)})
	require.NoError(t, err)
	last := h[len(h)-1]
	require.EqualValues(t, 7, *last.MostWaiting)
	if len(h) == 1 { // the minute did not turn meanwhile
		require.InDelta(t, 5, *last.Waiting, 1e-9, "the mean of 3 and 7")
		require.InDelta(t, 4, *last.Slots, 1e-9)
	}
}

func TestHistoryHasARowWhereSomethingWasSeenAndGapsElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	half := time.Duration(time.Now().Second()-30) * time.Second // back to the middle of a minute
	f.end(t,
		ended{n: 3, outcome: "completed", ago: 3*time.Hour + half, wait: time.Second, ran: 2 * time.Second},
		ended{n: 1, outcome: "failed", ago: 3*time.Hour + half, wait: 3 * time.Second, ran: time.Second},
		ended{n: 2, outcome: "completed", ago: 30*time.Hour + half, ran: time.Second})
	require.NotNil(t, ask[*int](t, f, "SELECT penstock.fold_tallies(100)"))
	from := time.Now().Add(-48 * time.Hour)
	for _, rolled := range []bool{false, true} {
		if rolled {
			f.exec(t, "UPDATE penstock.sampling SET rolled_to = date_trunc('hour', now() - interval '40 hours', 'UTC')")
			f.exec(t, "DELETE FROM penstock.metric_samples WHERE step <> 'minute'")
			require.Equal(t, 2, ask[int](t, f, "SELECT penstock.roll_up_metrics()"))
		}
		for step, most := range map[penstock.Step]time.Duration{penstock.StepMinute: time.Minute, penstock.StepHour: time.Hour, penstock.StepDay: 24 * time.Hour} {
			h, err := f.client.Metrics.History(t.Context(), penstock.HistoryQuery{From: from, Step: step})
			require.NoError(t, err)
			require.Len(t, h, 2, step)
			require.Equal(t, h[0].At.Truncate(most), h[0].At)
			require.EqualValues(t, 2, h[0].Completed)
			s := h[1]
			require.EqualValues(t, 3, s.Completed)
			require.EqualValues(t, 1, s.Failed)
			require.InDelta(t, 0.75, *s.SuccessRate, 1e-9)
			require.InDelta(t, 2000, ms(s.AverageProcessingTime), 0.1)
			require.InDelta(t, 1500, ms(s.AverageWaitTime), 0.1)
			require.Nil(t, s.Waiting, "nobody looked")
		}
	}
}

func TestHoursAndDaysAreTheSumsOfTheirMinutes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, "UPDATE penstock.sampling SET rolled_to = date_trunc('day', now(), 'UTC') - interval '5 days'")
	rapid.Check(t, func(t *rapid.T) {
		f.exec(t, "TRUNCATE penstock.tallies, penstock.metric_samples, penstock.latency_samples, penstock.attempts")
		f.exec(t, "UPDATE penstock.sampling SET rolled_to = date_trunc('day', now(), 'UTC') - interval '5 days'")
		one := rapid.Custom(func(t *rapid.T) ended {
			return ended{
				n: rapid.IntRange(1, 4).Draw(t, "n"), outcome: rapid.SampledFrom([]string{"completed", "failed", "lost"}).Draw(t, "outcome"),
				ago:  time.Duration(rapid.Int64Range(0, int64(4*24*time.Hour)).Draw(t, "ago")),
				wait: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "wait")),
				ran:  time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "ran")), name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"),
			}
		})
		// Some are folded before the roll-up, some commit after it, some are in no sample yet.
		for _, then := range []string{"penstock.fold_tallies(1000)", "penstock.roll_up_metrics()", "penstock.fold_tallies(1000)", "1"} {
			f.end(t, rapid.SliceOfN(one, 0, 5).Draw(t, "ended")...)
			f.exec(t, "SELECT "+then)
		}
		truth := f.truth(t)
		window := time.Duration(rapid.Int64Range(int64(97*time.Hour), int64(8*24*time.Hour-time.Hour)).Draw(t, "window"))
		m, err := f.client.Metrics.Queue(t.Context(), "q", window)
		require.NoError(t, err)
		require.Equal(t, sums{Completed: truth.Completed, Failed: truth.Failed, Lost: truth.Lost},
			sums{Completed: m.Metrics.Completed, Failed: m.Metrics.Failed, Lost: m.Metrics.Lost})
		p, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", Window: window})
		require.NoError(t, err)
		require.Equal(t, truth.Completed, p.TotalTime.Count)
		require.Equal(t, truth.Claimed, p.WaitTime.Count)
		p, err = f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", Name: "a", Window: window})
		require.NoError(t, err)
		require.Equal(t, ask[int64](t, f, "SELECT count(*) FROM penstock.attempts WHERE name = 'a'"), p.WaitTime.Count)
		p, err = f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", Window: window})
		require.NoError(t, err)
		wait := ask[float64](t, f, "SELECT coalesce(sum(extract(epoch FROM claimed_at - run_at)), 0)::float8 * 1000 FROM penstock.attempts")
		if truth.Claimed > 0 {
			require.InDelta(t, wait/float64(truth.Claimed), ms(p.WaitTime.Average), 1)
			require.InDelta(t, wait/float64(truth.Claimed), ms(m.Metrics.AverageWaitTime), 1)
		}
		for _, step := range []penstock.Step{penstock.StepHour, penstock.StepDay} {
			f.exec(t, "SELECT penstock.fold_tallies(1000)")
			h, err := f.client.Metrics.History(t.Context(), penstock.HistoryQuery{Queue: "q", From: time.Now().Add(-6 * 24 * time.Hour), Step: step})
			require.NoError(t, err)
			var n int64
			for _, s := range h {
				n += s.Completed + s.Failed + s.Lost
			}
			require.Equal(t, truth.Claimed, n, step)
		}
	})
}

// TestAnySpanIsCoveredOnce checks the pieces that long reads are made of.
func TestAnySpanIsCoveredOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	type piece struct {
		Step      string
		Low, High time.Time
	}
	size := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(t *rapid.T, name string, unit time.Duration) time.Time {
		return base.Add(time.Duration(rapid.Int64Range(0, int64(5*24*time.Hour/unit)).Draw(t, name)) * unit)
	}
	rapid.Check(t, func(t *rapid.T) {
		rolled := at(t, "rolled", time.Hour)
		since, until := at(t, "since", time.Minute), at(t, "until", time.Minute)
		f.exec(t, "UPDATE penstock.sampling SET rolled_to = $1", rolled)
		pieces := rows[piece](t, f, "SELECT step, low, high FROM penstock.covering_steps($1, $2) ORDER BY low", since, until)
		next := since
		for _, p := range pieces {
			require.True(t, p.Low.Equal(next), "%v", pieces)
			require.True(t, p.High.After(p.Low), "%v", pieces)
			require.Zero(t, p.Low.UTC().Sub(base)%size[p.Step], "%v", pieces)
			require.Zero(t, p.High.UTC().Sub(base)%size[p.Step], "%v", pieces)
			require.False(t, p.Step != "minute" && p.High.After(rolled), "not rolled up yet: %v", pieces)
			next = p.High
		}
		if since.Before(until) {
			require.True(t, next.Equal(until), "%v", pieces)
		} else {
			require.Empty(t, pieces)
		}
		require.LessOrEqual(t, len(pieces), 5)
	})
}

func TestOldSamplesGoByTheirStepButNoMinuteBeforeItsHourIsRolledUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, "UPDATE penstock.sampling SET rolled_to = '-infinity'")
	for _, ago := range []time.Duration{time.Hour, 10 * 24 * time.Hour, 100 * 24 * time.Hour, 800 * 24 * time.Hour} {
		f.end(t, ended{n: 1, outcome: "completed", ago: ago, ran: time.Second})
	}
	f.exec(t, "SELECT penstock.fold_tallies(100)")
	require.Zero(t, ask[int](t, f, "SELECT penstock.prune_metrics()"), "no hour tells of them yet")
	require.Positive(t, ask[int](t, f, "SELECT penstock.roll_up_metrics()"))
	for ask[int](t, f, "SELECT penstock.prune_metrics(1)") > 0 {
	}
	require.Equal(t, sums{Completed: 1, Claimed: 1}, f.sums(t, "minute"))
	require.Equal(t, sums{Completed: 2, Claimed: 2}, f.sums(t, "hour"))
	require.Equal(t, sums{Completed: 3, Claimed: 3}, f.sums(t, "day"))
	require.EqualValues(t, 3, ask[int64](t, f, "SELECT sum(jobs)::bigint FROM penstock.latency_samples WHERE step = 'day' AND metric = 'wait' AND name = '*'"))

	// A window that goes further back than the minutes starts at an hour or a day.
	q, err := f.client.Metrics.Queue(t.Context(), "q", 30*24*time.Hour)
	require.NoError(t, err)
	require.Equal(t, q.Since.Truncate(time.Hour), q.Since)
	require.EqualValues(t, 2, q.Metrics.Completed)
	q, err = f.client.Metrics.Queue(t.Context(), "q", 731*24*time.Hour)
	require.NoError(t, err)
	require.Equal(t, q.Since.Truncate(24*time.Hour), q.Since)
	require.EqualValues(t, 3, q.Metrics.Completed)
}
