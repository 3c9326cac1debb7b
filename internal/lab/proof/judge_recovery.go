package proof

import (
	"fmt"
	"slices"
	"time"
)

// P9, P12, P13: how soon work continues after a fault, and that no living worker is
// buried.

// flowingFault is a fault during which claims must continue.
type flowingFault struct {
	Fault
	lastLease time.Time // the last lease during the fault
}

// timing collects the times of leases and rescues of one job.
func (f *jobHistory) timing() {
	if f.judge.twoClocks {
		return
	}
	for i := range f.steps {
		s := &f.steps[i]
		switch s.What {
		case Leased:
			f.judge.addLease(s)
		case Noted:
			f.judge.addPace(s)
			if s.Outcome == "lost" || s.Overdue { // a deadline may end what a rescue should have ended
				f.addRescue(s)
			}
		}
		f.judge.order.add(s)
	}
}

func (j *judge) addLease(s *Step) {
	at, _ := slices.BinarySearchFunc(j.postgresUp, s.Committed, time.Time.Compare)
	if at > 0 && (j.firstLeases[at-1].IsZero() || s.Committed.Before(j.firstLeases[at-1])) {
		j.firstLeases[at-1] = s.Committed
	}
	for i := range j.mustFlow {
		j.mustFlow[i].add(s)
	}
}

// add accepts leases in any order.
func (w *flowingFault) add(s *Step) {
	if at := s.Committed; s.Queue == w.MustFlow && at.After(w.From) && at.Before(w.To) && at.After(w.lastLease) {
		w.lastLease = at
	}
}

// undisturbedSpans cuts the lifetimes of sweepers at every fault that may have
// interrupted them. A sweeper starts its wait again then, because the workers may have
// been unable to beat as well.
func undisturbedSpans(sweepers []Span, faults []Fault) (all []Span) {
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

// addRescue measures from the death of the worker, or from the start of the sweeper
// that has watched for longest. The rescue was late if a sweeper watched for longer
// than the limit before it.
func (f *jobHistory) addRescue(s *Step) {
	j := f.judge
	lease := f.leases[s.Attempt]
	if lease == nil {
		return
	}
	since, dead := j.killedAt[j.incarnations[lease.Worker].Process]
	if !dead {
		return
	}
	if lease.Committed.After(since) {
		since = lease.Committed
	}
	if s.At.Before(since) {
		return // the worker had ended in another way before the kill
	}
	measured := false
	for _, w := range j.sweeperSpans {
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
			f.report("P9", "late rescue", fmt.Sprintf("process %d watched for %.1f s after the worker's death before attempt %d ended",
				w.Process, watched.Seconds(), s.Attempt))
			return
		}
	}
}

func (j *judge) finishRecovery() {
	if j.twoClocks {
		j.postgresUp, j.mustFlow, j.incarnations = nil, nil, nil
	}
	for i, heal := range j.postgresUp {
		if j.firstLeases[i].IsZero() {
			if up := j.nextOutage(heal).Sub(heal); up > j.limits.FirstClaim {
				j.reportLateClaim(heal, up)
			}
			continue
		}
		took := j.firstLeases[i].Sub(heal)
		j.verdict.FirstClaims = append(j.verdict.FirstClaims, took)
		if took > j.limits.FirstClaim {
			j.reportLateClaim(heal, took)
		}
	}
	for _, w := range j.mustFlow {
		disturbed := slices.ContainsFunc(j.faults, func(f Fault) bool {
			return f.Process == 0 && (f.Down || f.Mute) && f.overlaps(w.From, w.To)
		})
		if !disturbed && w.To.Sub(w.lastLease) > j.limits.FirstClaim/2 {
			j.report(Violation{
				Promise: "P4", Kind: "stalled",
				Text: fmt.Sprintf("no job of queue %s was claimed in the last %.1f s of %q, which must not stop other claims", w.MustFlow, w.To.Sub(w.lastLease).Seconds(), w.Nemesis),
			})
		}
	}
	j.checkBurials()
	for _, process := range j.liveWorkers {
		if !j.lastRun[process].After(j.healed) {
			j.report(Violation{
				Promise: "P13", Kind: "needs a restart",
				Text: fmt.Sprintf("worker process %d is alive but has run no job since the last fault ended; its last handler started at %s",
					process, j.lastRun[process].Format(time.TimeOnly)),
			})
		}
	}
}

// nextOutage returns when Postgres was down next after heal, or else when the last
// fault ended.
func (j *judge) nextOutage(heal time.Time) time.Time {
	end := j.healed
	for _, f := range j.faults {
		if f.Down && !f.From.Before(heal) && f.From.Before(end) {
			end = f.From
		}
	}
	return end
}

func (j *judge) reportLateClaim(heal time.Time, took time.Duration) {
	j.report(Violation{
		Promise: "P13", Kind: "late claim",
		Text: fmt.Sprintf("Postgres accepted connections at %s, but the first claim came %.1f s later", heal.Format(time.TimeOnly), took.Seconds()),
	})
}

// checkBurials: a worker may be buried only if its process was dead, frozen or cut off
// at some moment within the last lease. An outage of Postgres is no excuse.
func (j *judge) checkBurials() {
	for _, i := range j.incarnations {
		if !i.Buried || i.Beats == 0 {
			continue
		}
		from := i.Ended.Add(-j.limits.Lease - 5*time.Second)
		excused := slices.ContainsFunc(j.faults, func(f Fault) bool {
			return f.hits(i.Process) && (f.Kills && !f.From.After(i.Ended) || f.Mute && f.overlaps(from, i.Ended))
		})
		if !excused {
			j.report(Violation{
				Promise: "P12", Kind: "buried alive",
				Text: fmt.Sprintf("worker %d of process %d was buried at %s, although it was running and connected", i.ID, i.Process, i.Ended.Format(time.TimeOnly)),
			})
		}
	}
}
