package policy_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
)

const longest = 366 * 24 * time.Hour

// delays evaluates penstock.retry_delay for many strategies at once.
func delays(t testing.TB, f *fixture, asked []asked) []time.Duration {
	t.Helper()
	var strategies []string
	var base, most []time.Duration
	var multipliers, jitters, chances []float64
	var failures []int32
	for _, a := range asked {
		strategies, base, most = append(strategies, string(a.Type)), append(base, a.Delay), append(most, a.MaxDelay)
		multipliers, jitters = append(multipliers, a.Multiplier), append(jitters, *a.Jitter)
		failures, chances = append(failures, a.failures), append(chances, a.chance)
	}
	return column[time.Duration](t, f, `SELECT penstock.retry_delay(u.strategy, u.base, u.multiplier, u.most, u.jitter, u.failures, u.chance)
		FROM unnest($1::text[], $2::interval[], $3::float8[], $4::interval[], $5::float8[], $6::integer[], $7::float8[])
			WITH ORDINALITY u(strategy, base, multiplier, most, jitter, failures, chance, nth) ORDER BY u.nth`,
		strategies, base, multipliers, most, jitters, failures, chances)
}

type asked struct {
	penstock.RetryStrategy
	failures int32
	chance   float64
}

// span draws a duration in microseconds, the extremes often.
func span() *rapid.Generator[time.Duration] {
	return rapid.OneOf(
		rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Millisecond, time.Second, longest - time.Microsecond, longest}),
		rapid.Map(rapid.Int64Range(0, longest.Microseconds()), func(us int64) time.Duration { return time.Duration(us) * time.Microsecond }),
	)
}

func strategies() *rapid.Generator[asked] {
	return rapid.Custom(func(t *rapid.T) asked {
		return asked{
			penstock.RetryStrategy{
				Type:       rapid.SampledFrom([]penstock.Strategy{"exponential", "linear", "fixed", "custom"}).Draw(t, "type"),
				Delay:      span().Draw(t, "delay"),
				MaxDelay:   span().Draw(t, "max delay"),
				Multiplier: rapid.OneOf(rapid.SampledFrom([]float64{1, math.Nextafter(1, 2), 1000}), rapid.Float64Range(1, 1000)).Draw(t, "multiplier"),
				Jitter:     ptr(rapid.OneOf(rapid.SampledFrom([]float64{0, 1}), rapid.Float64Range(0, 1)).Draw(t, "jitter")),
			},
			rapid.OneOf(rapid.SampledFrom([]int32{math.MinInt32, 0, 1, 2, math.MaxInt32 - 1, math.MaxInt32}), rapid.Int32Range(1, 100),
				rapid.Int32Range(1, math.MaxInt32)).Draw(t, "failures"),
			rapid.OneOf(rapid.SampledFrom([]float64{0, 0.5, math.Nextafter(1, 0)}), rapid.Float64Range(0, math.Nextafter(1, 0))).Draw(t, "chance"),
		}
	})
}

func TestRetryDelayIsTheReferenceAtAnyNumberOfFailures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rapid.Check(t, func(rt *rapid.T) {
		cases := rapid.SliceOfN(strategies(), 1, 200).Draw(rt, "cases")
		for i, got := range delays(t, f, cases) {
			c := cases[i]
			want := c.RetryDelay(int(c.failures), c.chance)
			// A float's 53 bits, and the microsecond that an interval rounds to.
			slack := time.Microsecond + want/1e9
			if got < want-slack || got > want+slack {
				rt.Fatalf("%+v: %v, want %v", c, got, want)
			}
			if got < 0 || got > c.MaxDelay {
				rt.Fatalf("%+v: %v is not within 0 and the cap", c, got)
			}
			plain := c
			plain.Jitter = ptr(0.0)
			usual := plain.RetryDelay(int(c.failures), 0)
			least, most := float64(usual)*(1-*c.Jitter), float64(usual)*(1+*c.Jitter)
			if float64(got) < least-float64(slack) || float64(got) > most+float64(slack) {
				rt.Fatalf("%+v: %v is not within the jitter around %v", c, got, usual)
			}
		}
	})
}

func TestDelaysGrowByTheirStrategyUpToTheCap(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	none := ptr(0.0)
	seed := penstock.RetryStrategy{Type: penstock.Exponential, Delay: 2 * time.Second, Multiplier: 2, MaxDelay: 5 * time.Minute, Jitter: none}
	linear := penstock.RetryStrategy{Type: penstock.Linear, Delay: 10 * time.Second, Multiplier: 1, MaxDelay: 2 * time.Minute, Jitter: none}
	fixed := penstock.RetryStrategy{Type: penstock.Fixed, Delay: 7 * time.Second, Multiplier: 9, MaxDelay: time.Hour, Jitter: none}
	for _, c := range []struct {
		name     string
		strategy penstock.RetryStrategy
		failures int32
		want     time.Duration
	}{
		{"exponential starts with the delay", seed, 1, 2 * time.Second},
		{"exponential doubles", seed, 5, 32 * time.Second},
		{"exponential stops growing at the cap", seed, 9, 5 * time.Minute},
		{"exponential does not overflow", seed, math.MaxInt32, 5 * time.Minute},
		{"linear starts with the delay", linear, 1, 10 * time.Second},
		{"linear adds it with each failure", linear, 7, 70 * time.Second},
		{"linear stops growing at the cap", linear, math.MaxInt32, 2 * time.Minute},
		{"fixed stays", fixed, 1, 7 * time.Second},
		{"fixed stays for ever", fixed, math.MaxInt32, 7 * time.Second},
	} {
		got := delays(t, f, []asked{{c.strategy, c.failures, 0.5}})
		require.Equal(t, []time.Duration{c.want}, got, c.name)
		require.Equal(t, c.want, c.strategy.RetryDelay(int(c.failures), 0.5), c.name)
	}
}

func TestTheCapHoldsAfterJitter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := penstock.RetryStrategy{Type: penstock.Fixed, Delay: time.Minute, Multiplier: 1, MaxDelay: time.Minute, Jitter: ptr(1.0)}
	require.Equal(t, []time.Duration{time.Minute, 0}, delays(t, f, []asked{{s, 1, math.Nextafter(1, 0)}, {s, 1, 0}}))
}

func TestJitterSpreadsOverItsWholeRangeAndNoFurther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var least, most, mean time.Duration
	require.NoError(t, f.Pool.QueryRow(t.Context(), `SELECT min(d), max(d), avg(d)
		FROM (SELECT penstock.retry_delay('fixed', '100 seconds', 2, '1 hour', 0.1, n) AS d FROM generate_series(1, 5000) n) s`).Scan(&least, &most, &mean))
	require.GreaterOrEqual(t, least, 90*time.Second)
	require.Less(t, most, 110*time.Second)
	require.Less(t, least, 91*time.Second)
	require.Greater(t, most, 109*time.Second)
	require.InDelta(t, 100, mean.Seconds(), 1)
}
