package proof

import (
	"fmt"
	"slices"
	"time"
)

// P3: while some rows are locked, the attempts of all other jobs go on ending.

const (
	// keptPace is the least share of the pace before the fault.
	keptPace = 0.33
	// leastPaced is how many ends make a pace.
	leastPaced = 100
	paceUnit   = 100 * time.Millisecond
)

func (j *judge) addPace(s *Step) {
	if s.Outcome != "completed" {
		return
	}
	q := j.pace[s.Queue]
	if q == nil {
		q = map[int64]int{}
		j.pace[s.Queue] = q
	}
	q[s.At.UnixNano()/int64(paceUnit)]++
}

// endsWithin returns how many attempts of a queue completed in a span.
func (j *judge) endsWithin(queue string, from, to time.Time) (n int) {
	for at := from.UnixNano() / int64(paceUnit); at < to.UnixNano()/int64(paceUnit); at++ {
		n += j.pace[queue][at]
	}
	return n
}

// finishPace compares the ends during each fault with those of as long before it.
func (j *judge) finishPace() {
	for _, f := range j.faults {
		if f.MustEnd == "" || j.twoClocks {
			continue
		}
		from := f.From.Add(f.From.Sub(f.To))
		disturbed := slices.ContainsFunc(j.faults, func(other Fault) bool {
			return (other.Kills || other.Down || other.Mute) && other.overlaps(from, f.To)
		})
		before, during := j.endsWithin(f.MustEnd, from, f.From), j.endsWithin(f.MustEnd, f.From, f.To)
		if !disturbed && before >= leastPaced && float64(during) < keptPace*float64(before) {
			j.report(Violation{
				Promise: "P3", Kind: "slowed by locks",
				Text: fmt.Sprintf("%d attempts of queue %s completed in the %.1f s of %q, and %d in as long before it",
					during, f.MustEnd, f.To.Sub(f.From).Seconds(), f.Nemesis, before),
			})
		}
	}
}
