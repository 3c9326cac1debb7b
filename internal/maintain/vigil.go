package maintain

import (
	"time"

	"github.com/penstock/penstock/db"
)

// vigil watches beat counters by this process's monotonic clock: no other
// clock, and no outage of Postgres, can make the living look dead (P12).
// Invariant: every sighting was renewed by an unbroken run of successful polls.
type vigil struct {
	lease     time.Duration
	polledAt  time.Time
	sightings map[int64]sighting
}

type sighting struct {
	beat  int64
	since time.Time // when this count was first seen
}

// mostGap is how far apart two polls may be to count as unbroken.
const mostGap = 5 * beatPoll

// watch takes a successful poll and returns the workers whose count has stood
// still for the lease. Whoever is no longer listed is forgotten.
func (v *vigil) watch(now time.Time, beats []db.ListBeatsRow) []db.ListBeatsRow {
	if now.Sub(v.polledAt) > mostGap { // this process slept, and the worker perhaps with it
		v.interrupted()
	}
	v.polledAt = now
	seen := make(map[int64]sighting, len(beats))
	var dead []db.ListBeatsRow
	for _, b := range beats {
		s, known := v.sightings[b.ID]
		if !known || s.beat != b.Beat {
			s = sighting{b.Beat, now}
		}
		if now.Sub(s.since) >= v.lease {
			dead = append(dead, b)
		}
		seen[b.ID] = s
	}
	v.sightings = seen
	return dead
}

// interrupted is told that a poll failed: the workers may have been unable to
// beat as well, so every wait starts over.
func (v *vigil) interrupted() { v.sightings = nil }
