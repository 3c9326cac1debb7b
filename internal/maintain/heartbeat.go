package maintain

import (
	"time"

	"github.com/penstock/penstock/db"
)

// heartbeatTracker finds workers whose beat counter stands still, by this process's
// monotonic clock: no other clock, and no outage of Postgres, can make a live worker look
// dead (P12). A worker is dead when it was silent for the lease while this process could
// have heard it. The time between a poll and one that failed or came late does not count,
// and after such a gap every worker has half a lease to beat again.
type heartbeatTracker struct {
	lease       time.Duration
	polledAt    time.Time
	broken      bool      // a poll has failed since polledAt
	steadySince time.Time // no poll has failed or come late since
	missedAt    time.Time // when a worker was last found to be gone
	workers     map[int64]lastBeat
}

type lastBeat struct {
	beat   int64
	silent time.Duration // how long the counter was seen to stand still
}

// mostGap is how far apart two polls may be for the time between them to count.
const mostGap = 5 * beatPoll

// observe takes a successful poll and returns the workers that are dead, in its order. It
// forgets those that are no longer listed.
func (t *heartbeatTracker) observe(now time.Time, beats []db.ListBeatsRow) []db.ListBeatsRow {
	passed := now.Sub(t.polledAt)
	if t.broken || passed > mostGap { // the workers may have been cut off or asleep as well
		passed, t.steadySince = 0, now
	}
	t.polledAt, t.broken = now, false
	missing := len(t.workers)
	seen := make(map[int64]lastBeat, len(beats))
	var dead []db.ListBeatsRow
	for _, b := range beats {
		last, known := t.workers[b.ID]
		if known {
			missing--
		}
		if known && last.beat == b.Beat {
			last.silent += passed
		} else {
			last = lastBeat{beat: b.Beat}
		}
		if last.silent >= t.lease && now.Sub(t.steadySince) >= t.lease/2 {
			dead = append(dead, b)
		}
		seen[b.ID] = last
	}
	if missing > 0 {
		t.missedAt = now
	}
	t.workers = seen
	return dead
}

// interrupted notes that a poll failed.
func (t *heartbeatTracker) interrupted() { t.broken = true }
