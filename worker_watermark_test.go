package penstock

import (
	"cmp"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock/db"
)

// server is what decides what a sweep has to find: one queue's jobs, and the transactions
// that they came by. Its clock counts seconds.
type server struct {
	clock time.Time
	next  int64           // the id of the next transaction that writes
	ended int64           // the highest that has ended
	under map[int64][]int // those that have not, and their jobs
	jobs  []*waitingJob
}

type waitingJob struct {
	laneKey
	lane           int16
	visible, taken bool
}

func newServer() *server {
	return &server{clock: time.Unix(0, 0), next: 100, ended: 99, under: map[int64][]int{}}
}

// begin has a transaction look at the clock and write a job.
func (s *server) begin(lane int16) (id int64) {
	s.clock = s.clock.Add(time.Second)
	id = s.next
	s.next++
	s.write(id, lane)
	return id
}

func (s *server) write(id int64, lane int16) {
	s.under[id] = append(s.under[id], len(s.jobs))
	s.jobs = append(s.jobs, &waitingJob{laneKey: laneKey{s.clock, int64(len(s.jobs))}, lane: lane})
}

func (s *server) end(id int64) {
	for _, i := range s.under[id] {
		s.jobs[i].visible = true
	}
	delete(s.under, id)
	s.ended = max(s.ended, id)
	s.clock = s.clock.Add(time.Second)
}

// horizon answers as penstock.horizon does: its snapshot knows of the transactions above
// the highest that has ended nothing.
func (s *server) horizon() horizon {
	h := horizon{at: s.clock, own: s.next}
	for id := range s.under {
		if id <= s.ended {
			h.under = append(h.under, id)
		}
	}
	slices.Sort(h.under)
	s.under[s.next] = nil
	s.next++
	s.end(s.next - 1)
	return h
}

// due are the jobs that a claim can take, in its order.
func (s *server) due() (all []*waitingJob) {
	for _, j := range s.jobs {
		if j.visible && !j.taken {
			all = append(all, j)
		}
	}
	slices.SortFunc(all, func(a, b *waitingJob) int {
		return cmp.Or(cmp.Compare(b.lane, a.lane), a.runAt.Compare(b.runAt), cmp.Compare(a.id, b.id))
	})
	return all
}

// claim takes up to n jobs as penstock.claim does with these marks.
func (s *server) claim(p *db.ClaimParams, n int) (leases []db.Lease) {
	for _, j := range s.due() {
		enter := laneKey{time.Unix(-1, 0), 0}
		if i := slices.Index(p.SeenPriorities, j.lane); i >= 0 && p.Since != nil {
			enter = laneKey{p.SeenRunAts[i], p.SeenIDs[i]}
		} else if p.Since != nil && j.lane >= p.SweptFrom {
			enter = laneKey{*p.Since, 0}
		}
		if enter.less(j.laneKey) && len(leases) < n {
			j.taken = true
			leases = append(leases, db.Lease{Priority: j.lane, RunAt: j.runAt, JobID: j.id})
		}
	}
	return leases
}

// sweep is a fetcher's, which measures slow.
func (s *server) sweep(m *watermark, n int, full bool) (leases []db.Lease) {
	now, p, h := time.Unix(0, 0), db.ClaimParams{}, s.horizon()
	m.fullAt = now.Add(time.Hour)
	if full {
		m.fullAt = now
	}
	full = m.applySweep(&p, h, now)
	leases = s.claim(&p, n)
	m.swept(h, full, n, leases, time.Minute, now)
	return leases
}

// Whatever was enqueued, taken by whoever and committed in whatever order, a sweep takes
// the first that are due, as a claim without marks would.
func TestNothingThatIsDueHidesFromASweep(t *testing.T) { // P10
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, m := newServer(), &watermark{}
		lane, room := rapid.SampledFrom([]int16{1, 5, 6, 100}), rapid.IntRange(1, 5)
		t.Repeat(map[string]func(*rapid.T){
			"begin":   func(t *rapid.T) { s.begin(lane.Draw(t, "lane")) },
			"enqueue": func(t *rapid.T) { s.end(s.begin(lane.Draw(t, "lane"))) },
			"write": func(t *rapid.T) {
				if len(s.under) > 0 {
					s.clock = s.clock.Add(time.Second)
					s.write(rapid.SampledFrom(slices.Sorted(maps.Keys(s.under))).Draw(t, "id"), lane.Draw(t, "lane"))
				}
			},
			"end": func(t *rapid.T) {
				if len(s.under) > 0 {
					s.end(rapid.SampledFrom(slices.Sorted(maps.Keys(s.under))).Draw(t, "id"))
				}
			},
			"claim": func(t *rapid.T) {
				if m.last != nil {
					p := db.ClaimParams{}
					m.apply(&p)
					m.took(s.claim(&p, room.Draw(t, "room")))
				}
			},
			"another's claim": func(t *rapid.T) { s.claim(&db.ClaimParams{}, room.Draw(t, "room")) },
			"sweep": func(t *rapid.T) {
				due, n := s.due(), room.Draw(t, "room")
				leases := s.sweep(m, n, rapid.Bool().Draw(t, "full"))
				require.Len(t, leases, min(n, len(due)))
				for i := range leases {
					require.Equal(t, due[i].id, leases[i].JobID)
				}
				require.LessOrEqual(t, len(m.horizons), 6*(len(s.under)+2), "what no floor needs is forgotten")
			},
			"sweep while paused": func(t *rapid.T) {
				now, p, h := time.Unix(0, 0), db.ClaimParams{}, s.horizon()
				if full := m.applySweep(&p, h, now); !full {
					m.swept(h, full, 5, nil, time.Millisecond, now)
				}
			},
		})
	})
}

// A transaction that has written and stays open must not have every sweep look back to
// its beginning; the sweep after its end does.
func TestALongTransactionIsLookedBackToOnce(t *testing.T) {
	t.Parallel()
	s, m := newServer(), &watermark{}
	back := func() time.Duration {
		s.end(s.begin(5))
		h := s.horizon()
		floor, ok := m.floor(m.last, h)
		require.True(t, ok)
		s.sweep(m, 10, false)
		return h.at.Sub(floor)
	}
	for range 3 {
		s.end(s.begin(5))
		s.sweep(m, 10, true)
	}
	long, began := s.begin(5), s.clock
	for range 50 {
		require.Less(t, back(), 20*time.Second)
	}
	s.end(long)
	require.GreaterOrEqual(t, back(), s.clock.Sub(began)-20*time.Second)
	require.Less(t, back(), 20*time.Second)
}

// A lane that no sweep has reached since the first must not make all of them full: what
// ends in a high lane each time is the rule under load.
func TestALaneOutOfReachDoesNotMakeSweepsFull(t *testing.T) {
	t.Parallel()
	s, m := newServer(), &watermark{}
	s.end(s.begin(1))
	s.sweep(m, 10, true)
	for range 5 {
		s.end(s.begin(5))
		s.end(s.begin(5))
		s.sweep(m, 1, true)
	}
	m.fullAt = time.Unix(1, 0)
	require.False(t, m.applySweep(&db.ClaimParams{}, s.horizon(), time.Unix(0, 0)))
}

// A clock that was set back, lanes that are merged, and a horizon that nobody knows of leave
// nothing but a full sweep.
func TestASweepIsFullWhereItIsNotKnownHowFarToLookBack(t *testing.T) {
	t.Parallel()
	s, m := newServer(), &watermark{}
	for range 3 {
		s.end(s.begin(5))
		s.sweep(m, 10, true)
	}
	full := func(h horizon) bool { return m.applySweep(&db.ClaimParams{}, h, time.Unix(0, 0)) }
	m.fullAt = time.Unix(1, 0)
	h := s.horizon()
	require.False(t, full(h))
	require.True(t, full(horizon{at: h.at.Add(-time.Hour), own: h.own}))
	m.postpone(time.Second, time.Unix(0, 0))
	require.Equal(t, time.Unix(sweepShare, 0), m.fullAt)
	m.swept(horizon{at: h.at, own: h.own, merged: true}, false, 1, []db.Lease{{Priority: 1}}, time.Minute, time.Unix(0, 0))
	require.Equal(t, &watermark{}, m)
}
