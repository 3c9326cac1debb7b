package metrics_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
)

// TestPercentilesOfSamplesAreWithinOnePercent compares them with the time at the rank
// that the docs name, for any durations from a microsecond to a month.
func TestPercentilesOfSamplesAreWithinOnePercent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rapid.Check(t, func(t *rapid.T) {
		f.exec(t, "TRUNCATE penstock.tallies, penstock.metric_samples, penstock.latency_samples")
		ran := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) int64 {
			return int64(math.Exp(rapid.Float64Range(0, math.Log(2.6e12)).Draw(t, "log"))) // microseconds
		}), 1, 60).Draw(t, "ran")
		several := rapid.SliceOfN(rapid.Int32Range(1, 5), len(ran), len(ran)).Draw(t, "times each")
		f.exec(t, `INSERT INTO penstock.tallies (at, queue, name, outcome, claimed_at, jobs, run_ats, jobs_each)
			SELECT m, 'q', 'deploy', 'completed', m - r * interval '1 us', n, ARRAY[m - r * interval '1 us'], ARRAY[n]
			FROM unnest($1::bigint[], $2::integer[]) u(r, n), (SELECT clock_timestamp() AS m) moments`, ran, several)
		if rapid.Bool().Draw(t, "folded") {
			f.sample(t)
		}
		p, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", Window: 2 * time.Hour})
		require.NoError(t, err)
		require.Equal(t, penstock.SourceSamples, p.Source)
		require.Equal(t, 0.01, p.Error)

		var all []float64
		for i, us := range ran {
			for range several[i] {
				all = append(all, float64(us)/1000)
			}
		}
		slices.Sort(all)
		sum, squares := 0.0, 0.0
		for _, d := range all {
			sum += d
		}
		average := sum / float64(len(all))
		for _, d := range all {
			squares += (d - average) * (d - average)
		}
		l := p.ProcessingTime
		require.EqualValues(t, len(all), l.Count)
		// A Duration is a nanosecond off.
		require.InDelta(t, average, ms(l.Average), 1e-6*average+2e-6)
		require.InDelta(t, all[0], ms(l.Min), 1e-6*all[0]+2e-6)
		require.InDelta(t, all[len(all)-1], ms(l.Max), 1e-6*all[len(all)-1]+2e-6)
		require.InDelta(t, math.Sqrt(squares/float64(len(all))), ms(l.StandardDeviation), 1e-5*all[len(all)-1]+2e-6)
		for share, got := range map[float64]*penstock.Milliseconds{0.5: l.Median, 0.95: l.P95, 0.99: l.P99} {
			want := all[int(share*float64(len(all)-1))]
			require.InDelta(t, want, ms(got), 0.01*want+2e-6, "%g of %v", share, all)
		}
	})
}

func TestPercentilesOfAShortSpanAreExact(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := 1; i <= 100; i++ {
		f.end(t, ended{n: 1, outcome: "completed", ago: time.Minute, ran: time.Duration(i) * time.Second, wait: time.Duration(i) * time.Millisecond})
	}
	f.end(t, ended{n: 7, outcome: "failed", ago: time.Minute, ran: time.Hour, name: "other"})
	p, err := f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", Name: "deploy", Window: time.Hour})
	require.NoError(t, err)
	require.Equal(t, penstock.SourceAttempts, p.Source)
	require.Zero(t, p.Error)
	require.Equal(t, time.Hour, p.To.Sub(p.From))
	require.EqualValues(t, 100, p.ProcessingTime.Count)
	require.InDelta(t, 50_500, ms(p.ProcessingTime.Median), 1)
	require.InDelta(t, 95_050, ms(p.ProcessingTime.P95), 1)
	require.InDelta(t, 99_010, ms(p.ProcessingTime.P99), 1)
	require.InDelta(t, 1000, ms(p.ProcessingTime.Min), 1)
	require.InDelta(t, 100_000, ms(p.ProcessingTime.Max), 1)
	require.InDelta(t, math.Sqrt((100*100-1)/12.0)*1000, ms(p.ProcessingTime.StandardDeviation), 1)
	require.InDelta(t, 50.5*1001, ms(p.TotalTime.Median), 1)

	p, err = f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", Window: time.Hour})
	require.NoError(t, err)
	require.EqualValues(t, 107, p.WaitTime.Count, "whatever became of them")
	require.EqualValues(t, 100, p.TotalTime.Count, "only what completed")

	// With more attempts than are read one by one, the samples answer.
	f.end(t, ended{n: 20_001, outcome: "completed", ago: time.Minute, ran: time.Second})
	f.sample(t)
	p, err = f.client.Metrics.Performance(t.Context(), penstock.PerformanceQuery{Queue: "q", Window: time.Hour})
	require.NoError(t, err)
	require.Equal(t, penstock.SourceSamples, p.Source)
	require.EqualValues(t, 20_101, p.ProcessingTime.Count)
}
