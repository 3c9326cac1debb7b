package proof

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// P3, P4: when and where handlers are started. Two of the rules apply only under the
// nemesis they are for, because they need times that a busy machine cannot keep.

const (
	// startWithin is how long a job may be leased before its handler starts. What is
	// leased ahead is bounded by time: a fraction of a second, and a busy machine's delays.
	startWithin = 3 * time.Second
	// noticeWithin is how long a worker may take to notice that an attempt has ended.
	noticeWithin = 2500 * time.Millisecond
)

// isMine reports whether an event is of this job and not of another with the same id: a
// failover may give ids out twice.
func (f *jobHistory) isMine(n *handlerEvent) bool {
	return n.n == 0 || f.number == 0 || n.n == f.number
}

func (f *jobHistory) checkStarts() {
	if f.undecidable || f.judge.twoClocks {
		return
	}
	for i := range f.events {
		n := &f.events[i]
		if n.op != OpRun {
			continue
		}
		if f.judge.rules[(*slowBehindFast)(nil).Name()] {
			f.checkLead(n)
		}
		if f.judge.rules[(*stuckHandlers)(nil).Name()] {
			f.checkStillRunning(n, f.events[:i])
		}
	}
	if f.judge.rules[(*slowBehindFast)(nil).Name()] {
		f.checkUnstarted()
	}
}

// checkLead: a job is leased shortly before its handler starts, and no handler starts
// once the attempt has ended.
func (f *jobHistory) checkLead(n *handlerEvent) {
	lease := f.leases[n.attempt]
	if lease == nil || f.judge.processDisturbed(int(n.process), lease.At, n.at) {
		return
	}
	if waited := n.at.Sub(lease.Committed); waited > startWithin {
		f.report("P10", "leased too early", fmt.Sprintf("attempt %d waited %.1f s in process %d before its handler started",
			n.attempt, waited.Seconds(), n.process))
	}
	if end := f.ends[n.attempt]; end != nil && n.at.Sub(end.At) > noticeWithin {
		f.report("P4", "started after its end", fmt.Sprintf("the handler of attempt %d started %.1f s after the attempt had ended as %s",
			n.attempt, n.at.Sub(end.At).Seconds(), end.Outcome))
	}
}

// checkUnstarted: an attempt cannot time out in a living worker that never started it.
func (f *jobHistory) checkUnstarted() {
	for attempt, end := range f.ends {
		lease := f.leases[attempt]
		if !end.Overdue || lease == nil {
			continue
		}
		process := f.judge.incarnations[lease.Worker].Process
		started := slices.ContainsFunc(f.events, func(n handlerEvent) bool {
			return n.op == OpRun && n.attempt == attempt && !n.at.After(end.At)
		})
		if !started && process != 0 && !f.judge.processDisturbed(process, lease.At, end.At) {
			f.report("P3", "timed out before it started", fmt.Sprintf("attempt %d waited in process %d and ended by its deadline", attempt, process))
		}
	}
}

// checkStillRunning: a job is not given to a process whose handler of an earlier attempt
// has not returned.
func (f *jobHistory) checkStillRunning(start *handlerEvent, before []handlerEvent) {
	for _, n := range before {
		if n.op != OpRun || n.process != start.process || n.attempt >= start.attempt {
			continue
		}
		returned := slices.ContainsFunc(before, func(e handlerEvent) bool {
			return e.op == OpEnd && e.kind == Invoke && e.process == n.process && e.attempt == n.attempt
		})
		if !returned {
			f.report("P4", "run where it still runs", fmt.Sprintf("process %d was given attempt %d while its handler of attempt %d had not returned",
				start.process, start.attempt, n.attempt))
		}
	}
}

// checkDeath: a job may die of crashes only. An attempt that is lost because its process
// was killed while it drained is none.
func (f *jobHistory) checkDeath(has map[What]*Step) {
	if noted := has[Noted]; noted == nil || noted.Outcome != "lost" {
		return
	}
	ends := maps.Clone(f.ends)
	ends[has[Noted].Attempt] = has[Noted] // the order of the steps of one transaction does not matter
	deploys := 0
	for attempt, end := range ends {
		lease := f.leases[attempt]
		if end.Outcome == "lost" && lease != nil && f.judge.drainedProcess[f.judge.incarnations[lease.Worker].Process] {
			deploys++
		}
	}
	if deploys > 0 {
		f.report("P1", "died of deploys", fmt.Sprintf("it is in the dead letter queue for crashes, and %d of them were kills of a process that drained", deploys))
	}
}

// processDisturbed reports whether a fault may have kept a process from acting in time.
func (j *judge) processDisturbed(process int, from, to time.Time) bool {
	return slices.ContainsFunc(j.faults, func(f Fault) bool {
		return f.hits(process) && (f.Kills || f.Mute || f.Breaks || f.Down) && f.overlaps(from, to)
	})
}
