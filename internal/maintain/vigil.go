package maintain

import (
	"time"

	"github.com/penstock/penstock/db"
)

// vigil watches beat counters by this process's monotonic clock: no other clock, and no
// outage of Postgres, can make the living look dead (P12). A worker is dead that was
// silent for the lease while somebody could have heard it: what passes between a poll
// and one that failed or came late is not counted, and after such a gap everyone has
// half a lease to beat again.
type vigil struct {
	lease    time.Duration
	polledAt time.Time
	broken   bool      // a poll failed since
	steady   time.Time // since when no poll has failed or come late
	wentAt   time.Time // when a worker was missed last
	workers  map[int64]sighting
}

type sighting struct {
	beat   int64
	silent time.Duration // how long this count was seen standing
}

// mostGap is how far apart two polls may be for the time between them to count.
const mostGap = 5 * beatPoll

// watch takes a successful poll and returns the workers that are dead, in its order.
// Whoever is no longer listed is forgotten.
func (v *vigil) watch(now time.Time, beats []db.ListBeatsRow) []db.ListBeatsRow {
	passed := now.Sub(v.polledAt)
	if v.broken || passed > mostGap { // the workers may have been cut off or asleep as well
		passed, v.steady = 0, now
	}
	v.polledAt, v.broken = now, false
	left := len(v.workers)
	seen := make(map[int64]sighting, len(beats))
	var dead []db.ListBeatsRow
	for _, b := range beats {
		s, known := v.workers[b.ID]
		if known {
			left--
		}
		if known && s.beat == b.Beat {
			s.silent += passed
		} else {
			s = sighting{beat: b.Beat}
		}
		if s.silent >= v.lease && now.Sub(v.steady) >= v.lease/2 {
			dead = append(dead, b)
		}
		seen[b.ID] = s
	}
	if left > 0 {
		v.wentAt = now
	}
	v.workers = seen
	return dead
}

// interrupted is told that a poll failed.
func (v *vigil) interrupted() { v.broken = true }
