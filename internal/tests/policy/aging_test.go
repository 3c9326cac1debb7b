package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
)

// load is a queue that gets two critical jobs a second and whose workers take two a
// second, from the second on that a low job and ten critical ones came. It runs in
// simulated time, an hour ago.
type load struct {
	f      *fixture
	worker int64
	start  time.Time
	now    int // seconds since start
}

func newLoad(t *testing.T, aging float64) (l *load, low int64) {
	t.Helper()
	l = &load{f: newFixture(t)}
	l.worker = l.f.register(t)
	l.start = one[time.Time](t, l.f, `SELECT now() - interval '1 hour'`)
	require.NoError(t, l.f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{Aging: &aging}))
	low = l.arrive(t, 1, penstock.Low)[0]
	l.arrive(t, 10, penstock.Critical)
	return l, low
}

func (l *load) arrive(t *testing.T, n int, priority penstock.Priority) []int64 {
	t.Helper()
	ids := l.f.enqueueN(t, n, penstock.NewJob{Queue: "q", Name: "n", Priority: priority})
	l.f.exec(t, `UPDATE penstock.pending SET run_at = $1 WHERE job_id = ANY ($2)`, l.start.Add(time.Duration(l.now)*time.Second), ids)
	return ids
}

// second lets one pass and returns what was claimed in it.
func (l *load) second(t *testing.T) []int64 {
	t.Helper()
	l.now++
	l.arrive(t, 2, penstock.Critical)
	claimed := ids(l.f.claim(t, l.worker, "q", 2))
	require.Len(t, claimed, 2, "the load is constant")
	return claimed
}

func TestAgingBoundsHowLongLowWaitsUnderConstantHighLoad(t *testing.T) {
	t.Parallel()
	const aging = 0.5
	bound := int((20 - 1) / aging) // critical overtakes low only within this many seconds of it
	l, low := newLoad(t, aging)
	version := l.version(t, low)
	for {
		if slices.Contains(l.second(t), low) {
			break
		}
		// What came within the bound, with the ten that wait already, takes five seconds more.
		require.Less(t, l.now, bound+5+1, "the bound is passed")
		require.Equal(t, version, l.version(t, low), "nothing is written to a waiting row")
	}
	require.GreaterOrEqual(t, l.now, bound, "until then its weight counts")
}

func (l *load) version(t *testing.T, id int64) string {
	return one[string](t, l.f, `SELECT xmin || ' ' || ctid::text FROM penstock.pending WHERE job_id = $1`, id)
}

func TestWithoutAgingHighLoadGoesFirstForEver(t *testing.T) {
	t.Parallel()
	l, low := newLoad(t, 0)
	for range 60 {
		require.NotContains(t, l.second(t), low)
	}
}

func TestAgingIsOffByDefaultAndHoldsFromTheNextClaimOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	settings, err := f.client.Queues.Settings(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, penstock.QueueSettings{Queue: "q", DefaultPriority: 5}, settings)

	old := f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Low})
	f.exec(t, `UPDATE penstock.pending SET run_at = run_at - interval '1 minute'`)
	fresh := f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Critical})
	worker := f.register(t)
	require.Equal(t, fresh[:1], ids(f.claim(t, worker, "q", 1)))
	require.NoError(t, f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{Aging: ptr(1.0), DefaultPriority: penstock.High}))
	require.Equal(t, append(old, fresh[1]), ids(f.claim(t, worker, "q", 10)), "a minute outweighs 19")
	settings, err = f.client.Queues.Settings(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, penstock.QueueSettings{Queue: "q", DefaultPriority: 10, Aging: 1}, settings)
	require.NoError(t, f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{Aging: ptr(0.0)}))
	settings, err = f.client.Queues.Settings(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, penstock.QueueSettings{Queue: "q", DefaultPriority: 10}, settings, "what a change leaves out stays")

	for _, aging := range []float64{-1, 1001, 1e-9} {
		require.ErrorContains(t, f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{Aging: &aging}), "aging must be 0 or 0.00001 to 1000")
	}
	require.ErrorIs(t, f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{DefaultPriority: "urgent"}), penstock.ErrInvalidArgument)
	require.NoError(t, f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{Aging: ptr(0.00001)}))
	f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Weight(100)})
	require.Len(t, f.claim(t, worker, "q", 10), 1, "the least aging can be divided by")
}

func TestAJobIsOvertakenOnlyWithinTheBoundWhateverTheLoad(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	worker := f.register(t)
	rapid.Check(t, func(rt *rapid.T) {
		aging := rapid.SampledFrom([]float64{0.00001, 0.1, 1, 30, 1000}).Draw(rt, "aging")
		weights := rapid.SliceOfN(rapid.Int32Range(1, 100), 1, 60).Draw(rt, "weights")
		size := rapid.IntRange(1, 20).Draw(rt, "claim size")
		age := rapid.SliceOfN(rapid.Int32Range(0, 3000), len(weights), len(weights)).Draw(rt, "tenths of seconds ago")
		require.NoError(t, f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{Aging: &aging}))
		f.exec(t, `SELECT penstock.enqueue('q', 'n', '{}', w) FROM unnest($1::integer[]) w`, weights)
		f.exec(t, `UPDATE penstock.pending p SET run_at = now() - make_interval(secs => a.tenths / 10.0)
			FROM (SELECT job_id, row_number() OVER (ORDER BY job_id) AS nth FROM penstock.pending) o
			JOIN unnest($1::integer[]) WITH ORDINALITY a(tenths, nth) USING (nth) WHERE p.job_id = o.job_id`, age)
		type job struct {
			Weight int16
			RunAt  time.Time
		}
		var order []job
		for {
			rows, err := f.Pool.Query(t.Context(), `SELECT c.priority, c.run_at FROM penstock.claim('q', $1, $2) c`, worker, size)
			require.NoError(t, err)
			before := len(order)
			for rows.Next() {
				var j job
				require.NoError(t, rows.Scan(&j.Weight, &j.RunAt))
				order = append(order, j)
			}
			require.NoError(t, rows.Err())
			if len(order) == before {
				break
			}
		}
		if len(order) != len(weights) {
			rt.Fatalf("%d of %d jobs were claimed", len(order), len(weights))
		}
		for i, overtaker := range order {
			for _, overtaken := range order[i+1:] {
				lead := time.Duration(float64(overtaker.Weight-overtaken.Weight) / aging * float64(time.Second))
				if overtaker.RunAt.Sub(overtaken.RunAt) > lead+time.Microsecond {
					rt.Fatalf("aging %v: %v went before %v", aging, overtaker, overtaken)
				}
			}
		}
	})
}

func TestAgingLeavesJobsOfTheFutureAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.client.Queues.Set(t.Context(), "q", penstock.QueueChange{Aging: ptr(0.1)}))
	f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Weight(100), Delay: time.Second * 60})
	low := f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Low})
	require.Equal(t, []int64{low}, ids(f.claim(t, f.register(t), "q", 10)), "weight is no wait")
}
