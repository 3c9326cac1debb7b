package metrics

import (
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestKeysPastTheBoundShareOneValue(t *testing.T) {
	b := newBounded(2, func(k string) *string { return &k }, func(string) string { return other })
	require.Same(t, b.of("a"), b.of("a"))
	require.NotSame(t, b.of("a"), b.of("b"))
	require.Equal(t, other, *b.of("c"))
	require.Same(t, b.of("c"), b.of("d"))
	require.Equal(t, "a", *b.of("a"), "what was known stays known")
}

func TestKeysSeenAtOnceAreMadeOnce(t *testing.T) {
	var made sync.Map
	b := newBounded(1000, func(k int) int {
		_, again := made.LoadOrStore(k, true)
		require.False(t, again, "made twice")
		return k
	}, func(int) int { return -1 })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for k := range 200 {
				require.Equal(t, k, b.of(k))
			}
		})
	}
	all.Wait()
}

// Whoever can enqueue chooses names: they must not fill Prometheus's memory.
func TestAnyNumberOfQueuesNamesAndClassesMakesFewSeries(t *testing.T) {
	m := New("test")
	hooks := m.Hooks()
	for queue := range 300 {
		for name := range 10 {
			q, n := fmt.Sprintf("q%d", queue), fmt.Sprintf("n%d-%d", queue, name)
			hooks.Started(penstock.StartEvent{Queue: q, Name: n})
			hooks.Ended(penstock.EndEvent{Queue: q, Name: n, Outcome: "failed", State: "dead", ErrorClass: "class" + n, Ran: 1})
			hooks.Claimed(penstock.ClaimEvent{Queue: q, Asked: 1, Jobs: 1})
			hooks.Enqueued(penstock.EnqueueEvent{Queue: q, Jobs: 1})
		}
	}
	families, err := m.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		most := mostQueues + 1 // of queues, and other
		switch f.GetName() {
		case "penstock_attempts_total":
			most = (mostNames + mostQueues + 1) * len(outcomes)
		case "penstock_attempt_duration_seconds", "penstock_job_wait_seconds", "penstock_dead_jobs_total":
			most = mostNames + mostQueues + 1
		case "penstock_attempt_errors_total":
			most = mostClasses + mostQueues + 1
		case "penstock_claims_total", "penstock_fetcher_wakeups_total":
			most = 4 * (mostQueues + 1)
		}
		require.LessOrEqual(t, len(f.GetMetric()), most, f.GetName())
	}
	enqueued, err := m.registry.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, enqueued)
	require.Equal(t, 2000.0, testutil.ToFloat64(m.queues.of("q299").enqueued), "the 200 queues past the bound")
}

func BenchmarkAttempt(b *testing.B) {
	hooks := New("bench").Hooks()
	b.ReportAllocs()
	for b.Loop() {
		hooks.Started(penstock.StartEvent{Queue: "q", Name: "n", Wait: 1000})
		hooks.Ended(penstock.EndEvent{Queue: "q", Name: "n", Outcome: "completed", State: "completed", Ran: 1000})
	}
}
