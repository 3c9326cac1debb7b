package penstock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFetcherPollsBeforeNotificationsBoundTheEnqueuers(t *testing.T) {
	for _, c := range []struct {
		name string
		cost time.Duration
		want float64
	}{
		{"before any claim", 0, mostBusy},
		{"a fast disk", 500 * time.Microsecond, 667},
		{"a slow one", 5 * time.Millisecond, 67},
		{"one that costs nothing", time.Microsecond, mostBusy},
		{"one that hangs", time.Second, leastBusy},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pace
			p.claimed(c.cost)
			require.InDelta(t, c.want, p.busy(), 1)
		})
	}
}

func TestAPaceFollowsTheJobsWithinSecondsAndNotTheirClumps(t *testing.T) {
	var p pace
	now := time.Now()
	require.Zero(t, p.measure(1_000_000, now), "what ended before it looked does not count")
	ended, rate := int64(1_000_000), 0.0
	for range 1500 { // three seconds: two jobs together every 20 ms, a look every 2 ms
		now = now.Add(2 * time.Millisecond)
		if now.UnixMilli()%20 < 2 {
			ended += 2
		}
		rate = p.measure(ended, now)
	}
	require.InDelta(t, 100, rate, 30)
	for range 1000 {
		now = now.Add(2 * time.Millisecond)
		rate = p.measure(ended, now)
	}
	require.Less(t, rate, 5.0, "they stopped two seconds ago")
}
