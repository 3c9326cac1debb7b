package penstock

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock/db"
)

// server is what decides what a sweep has to find: which transactions are under way,
// and when the rows that are not visible yet were written. Its clock counts seconds.
type server struct {
	clock   time.Time
	next    int64               // the id of the next transaction that writes
	ended   int64               // the highest that has ended
	under   map[int64]time.Time // those that have not, and the run_at of their first row
	visible []time.Time         // since the last sweep
}

func (s *server) tick() time.Time {
	s.clock = s.clock.Add(time.Second)
	return s.clock
}

// begin has a transaction look at the clock and write.
func (s *server) begin() {
	s.under[s.next] = s.tick()
	s.next++
}

func (s *server) end(id int64) {
	s.visible = append(s.visible, s.under[id])
	delete(s.under, id)
	s.ended = max(s.ended, id)
	s.tick()
}

// horizon answers as the query does: by its snapshot, which knows of those above the
// highest that has ended only that they have not.
func (s *server) horizon() horizon {
	h := horizon{at: s.clock, own: s.next}
	for id := range s.under {
		if id <= s.ended {
			h.under = append(h.under, id)
		}
	}
	slices.Sort(h.under)
	s.under[s.next] = s.clock
	s.next++
	s.end(s.next - 1)
	s.visible = s.visible[:len(s.visible)-1] // it wrote nothing
	return h
}

// Whatever becomes visible between two sweeps was written after the floor of the second.
func TestASweepLooksBackToWhateverCameSinceTheLast(t *testing.T) { // P10
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &server{clock: time.Unix(0, 0), next: 100, ended: 99, under: map[int64]time.Time{}}
		m := &watermark{}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(*rapid.T) { s.begin() },
			"end": func(t *rapid.T) {
				if len(s.under) == 0 {
					t.Skip("nothing is under way")
				}
				ids := make([]int64, 0, len(s.under))
				for id := range s.under {
					ids = append(ids, id)
				}
				slices.Sort(ids)
				s.end(rapid.SampledFrom(ids).Draw(t, "id"))
			},
			"sweep": func(t *rapid.T) {
				h := s.horizon()
				if floor, ok := m.floor(h); ok {
					for _, runAt := range s.visible {
						require.False(t, runAt.Before(floor), "%v became visible, the sweep looks back to %v", runAt, floor)
					}
				}
				s.visible = nil
				m.remember(h)
				require.LessOrEqual(t, len(m.horizons), len(s.under)+2, "what nobody needs is forgotten")
			},
		})
	})
}

// A transaction that has written and stays open must not have every sweep look back to
// its beginning; the sweep after its end does.
func TestALongTransactionIsLookedBackToOnce(t *testing.T) {
	t.Parallel()
	s := &server{clock: time.Unix(0, 0), next: 100, ended: 99, under: map[int64]time.Time{}}
	m := &watermark{}
	sweep := func() (time.Duration, bool) {
		h := s.horizon()
		floor, ok := m.floor(h)
		m.remember(h)
		return h.at.Sub(floor), ok
	}
	sweep()
	sweep()
	s.begin()
	long := s.next - 1
	for range 50 {
		s.begin()
		s.end(s.next - 1)
		back, ok := sweep()
		require.True(t, ok)
		require.Less(t, back, 10*time.Second)
	}
	began := s.under[long]
	s.end(long)
	back, ok := sweep()
	require.True(t, ok)
	require.GreaterOrEqual(t, back, s.clock.Sub(began)-time.Second)
	back, ok = sweep()
	require.True(t, ok)
	require.Less(t, back, 10*time.Second)
}

// A sweep enters each lane no later than a claim with its mark would, and not at all
// before the floor where the mark is beyond it.
func TestASweepKeepsTheMarksOfLanesThatLieBehind(t *testing.T) {
	t.Parallel()
	now, at := time.Now(), time.Unix(1000, 0)
	m := &watermark{
		on: true, fullAt: now.Add(time.Minute), sweptFrom: 3,
		horizons: []horizon{{at: at, own: 10}, {at: at.Add(time.Hour), own: 12}},
		seen:     map[int16]laneKey{5: {at.Add(-time.Hour), 1}, 7: {at.Add(time.Minute), 2}},
	}
	var p db.ClaimParams
	require.False(t, m.applySweep(&p, horizon{at: at.Add(2 * time.Hour), own: 14}, now))
	require.Equal(t, at.Add(-sweepSlack), *p.Since)
	require.Equal(t, int16(3), p.SweptFrom)
	require.Equal(t, []int16{5}, p.SeenPriorities, "a backlog's mark")
	require.Equal(t, []int64{1}, p.SeenIDs)

	require.True(t, m.applySweep(&p, horizon{own: 14}, now.Add(time.Hour)), "now and then one is full")
}
