package maintain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/db"
)

// watcher polls a heartbeatTracker with a lease of 15 s once a second.
type watcher struct {
	heartbeatTracker
	now  time.Time
	beat int64 // of worker 1
}

func newWatcher() *watcher {
	return &watcher{heartbeatTracker: heartbeatTracker{lease: 15 * time.Second}, now: time.Now()}
}

// polls makes n polls a second apart and returns at which of them worker 1 was dead
// first, 0 if at none.
func (w *watcher) polls(n int) (dead int) {
	for i := range n {
		w.now = w.now.Add(time.Second)
		if found := w.observe(w.now, []db.ListBeatsRow{{ID: 1, Beat: w.beat}}); len(found) > 0 && dead == 0 {
			dead = i + 1
		}
	}
	return dead
}

func TestAWorkerIsDeadThatWasSilentForTheLease(t *testing.T) {
	t.Parallel()
	w := newWatcher()
	require.Equal(t, 16, w.polls(20), "the first poll only sees it")
	w = newWatcher()
	require.Zero(t, w.polls(15))
	w.beat++
	require.Equal(t, 16, w.polls(20), "a beat counts anew")
}

// P12: an outage, or a sleep of the sweeper, is nobody's silence.
func TestNoOutageMakesTheLivingLookDead(t *testing.T) {
	t.Parallel()
	for name, gap := range map[string]func(w *watcher){
		"polls fail":        func(w *watcher) { w.interrupted(); w.now = w.now.Add(time.Second) },
		"polls fail long":   func(w *watcher) { w.interrupted(); w.now = w.now.Add(time.Hour) },
		"the sweeper froze": func(w *watcher) { w.now = w.now.Add(time.Hour) },
	} {
		w := newWatcher()
		require.Zero(t, w.polls(15), name)
		gap(w)
		require.Zero(t, w.polls(7), "%s: workers have half a lease to reach Postgres again", name)
		w.beat++
		require.Zero(t, w.polls(14), "%s: it has", name)
	}
}

// P9: sweepers whose polls fail now and then bury the dead all the same.
func TestAPollThatFailsDelaysARescueByHalfALeaseAtMost(t *testing.T) {
	t.Parallel()
	w := newWatcher()
	require.Zero(t, w.polls(14))
	w.interrupted()
	require.Equal(t, 9, w.polls(20), "not a lease later")

	w = newWatcher()
	polls := 0
	for dead := 0; dead == 0; w.interrupted() { // every tenth poll fails
		dead = w.polls(9)
		polls += 9
		require.LessOrEqual(t, polls, 27)
	}
}
