package proof

import (
	"fmt"
	"slices"
	"time"
)

// P9, P12, P13: how soon things go on after a fault, and that nobody alive is taken
// for dead.

// flow is a fault during which claims must go on.
type flow struct {
	Fault
	last time.Time // lease in it
}

// timing collects what a job tells about recoveries.
func (f *file) timing() {
	if f.judge.twoClocks {
		return
	}
	for i := range f.steps {
		s := &f.steps[i]
		switch s.What {
		case Leased:
			f.judge.sawLease(s)
		case Noted:
			if s.Outcome == "lost" || s.Overdue { // else its deadline would hide a rescue that never came
				f.sawRescue(s)
			}
		}
		f.judge.order.saw(s)
	}
}

func (j *judge) sawLease(s *Step) {
	at, _ := slices.BinarySearchFunc(j.heals, s.Committed, time.Time.Compare)
	if at > 0 && (j.firsts[at-1].IsZero() || s.Committed.Before(j.firsts[at-1])) {
		j.firsts[at-1] = s.Committed
	}
	for i := range j.flows {
		j.flows[i].saw(s)
	}
}

// saw takes leases in any order: only whether each stretch has one is of interest.
func (w *flow) saw(s *Step) {
	if at := s.Committed; s.Queue == w.Flows && at.After(w.From) && at.Before(w.To) && at.After(w.last) {
		w.last = at
	}
}

// watches cuts the lives of sweepers where something may have interrupted them: they
// wait longer then, because those they watch may have been unable to beat as well.
func watches(sweepers []Span, faults []Fault) (all []Span) {
	for _, s := range sweepers {
		cuts := []Fault{}
		for _, f := range faults {
			if f.hits(s.Process) && (f.Down || f.Mute || f.Breaks) && !f.To.Before(s.From) && f.From.Before(s.To) {
				cuts = append(cuts, f)
			}
		}
		slices.SortFunc(cuts, func(a, b Fault) int { return a.From.Compare(b.From) })
		from := s.From
		for _, f := range cuts {
			if f.From.After(from) {
				all = append(all, Span{s.Process, from, f.From})
			}
			if f.To.After(from) {
				from = f.To
			}
		}
		if s.To.After(from) {
			all = append(all, Span{s.Process, from, s.To})
		}
	}
	slices.SortFunc(all, func(a, b Span) int { return a.From.Compare(b.From) })
	return all
}

// sawRescue measures from the death of the worker, or from when the sweeper that has
// watched for longest began to. It was late if one watched for long enough before.
func (f *file) sawRescue(s *Step) {
	j := f.judge
	lease := f.leases[s.Attempt]
	if lease == nil {
		return
	}
	since, dead := j.killed[j.lives[lease.Worker].Process]
	if !dead {
		return
	}
	if lease.Committed.After(since) {
		since = lease.Committed
	}
	if s.At.Before(since) {
		return // by the burial of somebody who was dead in another way before
	}
	measured := false
	for _, w := range j.watch {
		if w.From.After(s.At) {
			break
		}
		from := since
		if w.From.After(from) {
			from = w.From
		}
		if !measured && w.To.After(s.At) {
			measured = true
			j.verdict.Rescues = append(j.verdict.Rescues, s.At.Sub(from))
		}
		to := w.To
		if s.At.Before(to) {
			to = s.At
		}
		if watched := to.Sub(from); watched > j.limits.Rescue {
			f.broken("P9", "late rescue", fmt.Sprintf("process %d watched for %.1f s after its worker's death before attempt %d was given back",
				w.Process, watched.Seconds(), s.Attempt))
			return
		}
	}
}

func (j *judge) concludeRecovery() {
	if j.twoClocks {
		j.heals, j.flows, j.lives = nil, nil, nil
	}
	for i, heal := range j.heals {
		if j.firsts[i].IsZero() {
			if up := j.downAgain(heal).Sub(heal); up > j.limits.FirstClaim {
				j.late(heal, up)
			}
			continue
		}
		took := j.firsts[i].Sub(heal)
		j.verdict.FirstClaims = append(j.verdict.FirstClaims, took)
		if took > j.limits.FirstClaim {
			j.late(heal, took)
		}
	}
	for _, w := range j.flows {
		disturbed := slices.ContainsFunc(j.faults, func(f Fault) bool {
			return f.Process == 0 && (f.Down || f.Mute) && f.overlaps(w.From, w.To)
		})
		if !disturbed && w.To.Sub(w.last) > j.limits.FirstClaim/2 {
			j.broken(Violation{
				Promise: "P4", Kind: "stalled",
				Text: fmt.Sprintf("no job of queue %s was claimed in the last %.1f s of %q, which may hold up nobody else", w.Flows, w.To.Sub(w.last).Seconds(), w.Nemesis),
			})
		}
	}
	j.concludeBurials()
	for _, process := range j.living {
		if !j.lastRun[process].After(j.healed) {
			j.broken(Violation{
				Promise: "P13", Kind: "needs a restart",
				Text: fmt.Sprintf("worker process %d lives and has worked nothing since the last fault ended; its last handler began %s",
					process, j.lastRun[process].Format(time.TimeOnly)),
			})
		}
	}
}

// downAgain is when Postgres, which took connections at heal, took none the next time, or
// else when all was mended.
func (j *judge) downAgain(heal time.Time) time.Time {
	end := j.healed
	for _, f := range j.faults {
		if f.Down && !f.From.Before(heal) && f.From.Before(end) {
			end = f.From
		}
	}
	return end
}

func (j *judge) late(heal time.Time, took time.Duration) {
	j.broken(Violation{
		Promise: "P13", Kind: "late claim",
		Text: fmt.Sprintf("Postgres took connections at %s, and the first claim came %.1f s later", heal.Format(time.TimeOnly), took.Seconds()),
	})
}

// concludeBurials: a worker is buried only if its process was dead, frozen or cut off
// at some moment of what a lease looks back on. An outage of Postgres excuses nothing.
func (j *judge) concludeBurials() {
	for _, i := range j.lives {
		if !i.Buried || i.Beats == 0 {
			continue
		}
		from := i.Ended.Add(-j.limits.Lease - 5*time.Second)
		excused := slices.ContainsFunc(j.faults, func(f Fault) bool {
			return f.hits(i.Process) && (f.Kills && !f.From.After(i.Ended) || f.Mute && f.overlaps(from, i.Ended))
		})
		if !excused {
			j.broken(Violation{
				Promise: "P12", Kind: "buried alive",
				Text: fmt.Sprintf("worker %d of process %d was buried at %s, alive, awake and connected", i.ID, i.Process, i.Ended.Format(time.TimeOnly)),
			})
		}
	}
}
