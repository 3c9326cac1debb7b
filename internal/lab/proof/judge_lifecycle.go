package proof

import "fmt"

// P1, P4, P5, P11: replays a job's life, one committed transaction at a time. After
// each transaction the job is in exactly one place or finished. A lease begins only if
// there is none. An attempt ends once, by its own lease. A dead job leaves with a
// departure.

// jobHistory is everything known of one job.
type jobHistory struct {
	judge   *judge
	job     int64
	number  int64 // from its data; 0: none
	steps   []Step
	events  []handlerEvent
	effects []Effect

	places      map[What]int // rows in pending (Waits), running (Leased), dead_jobs (Died)
	finished    string
	lease       *Step           // the active one
	leases      map[int32]*Step // by attempt
	ends        map[int32]*Step
	attempt     int32
	undecidable bool // a violation makes all later checks meaningless
}

// timeline returns the job's steps and events together, in order of time.
func (f *jobHistory) timeline() []string {
	const stamp = "15:04:05.000000"
	var lines []string
	notes := f.events
	line := func(n handlerEvent) string {
		return fmt.Sprintf("%s  process %d  %s %s attempt %d %s", n.at.Format(stamp), n.process, n.op, n.kind, n.attempt, n.outcome)
	}
	for _, s := range f.steps {
		for len(notes) > 0 && notes[0].at.Before(s.At) {
			lines, notes = append(lines, line(notes[0])), notes[1:]
		}
		lines = append(lines, fmt.Sprintf("%s  transaction %d  %s attempt %d worker %d %s", s.At.Format(stamp), s.Tx, s.What, s.Attempt, s.Worker, s.Outcome))
	}
	for _, n := range notes {
		lines = append(lines, line(n))
	}
	return lines
}

func (f *jobHistory) report(promise, kind, text string) {
	f.judge.report(Violation{promise, kind, fmt.Sprintf("job %d: %s", f.job, text), f.timeline()})
}

func (f *jobHistory) replay() {
	f.places, f.leases, f.ends = map[What]int{}, map[int32]*Step{}, map[int32]*Step{}
	for i := 0; i < len(f.steps) && !f.undecidable; {
		end := i + 1
		for end < len(f.steps) && f.steps[end].Tx == f.steps[i].Tx {
			end++
		}
		f.applyTransaction(f.steps[i:end])
		i = end
	}
	if f.undecidable {
		return
	}
	v := &f.judge.verdict
	switch {
	case f.finished == "completed":
		v.Completed++
	case f.finished == "redriven":
		v.Redriven++
	case f.finished == "purged":
		v.Purged++
	case f.places[Died] == 1:
		v.Dead++
	case f.finished == "" && f.judge.drained:
		f.reportStuck()
	}
}

func (f *jobHistory) reportStuck() {
	if f.lease == nil {
		f.report("P3", "stuck", "it still waits, but everything else is done")
		return
	}
	whose := fmt.Sprintf("worker %d, which is registered but does not run it", f.lease.Worker)
	if !f.judge.incarnations[f.lease.Worker].Ended.IsZero() {
		whose = fmt.Sprintf("worker %d, which is no longer registered", f.lease.Worker)
	}
	f.report("P3", "stuck", "it is leased to "+whose)
}

// applyTransaction applies what one transaction did.
func (f *jobHistory) applyTransaction(steps []Step) {
	wasFinished := f.finished
	has := map[What]*Step{}
	for i := range steps {
		has[steps[i].What] = &steps[i]
	}
	for i := range steps {
		f.apply(&steps[i], has)
		if f.undecidable {
			return
		}
	}
	places := f.places[Waits] + f.places[Leased] + f.places[Died]
	switch {
	case wasFinished != "" && (places > 0 || f.finished != wasFinished):
		f.reportAndStop("P1", "ended twice", "it was already finished: "+wasFinished)
	case places > 1:
		f.reportAndStop("P1", "doubled", "it is in more than one table")
	case places == 0 && f.finished == "":
		f.reportAndStop("P1", "lost", "it is in no table and not finished")
	case places == 1 && f.finished != "":
		f.reportAndStop("P1", "doubled", "it is finished ("+f.finished+") and also in a table")
	}
}

func (f *jobHistory) reportAndStop(promise, kind, text string) {
	f.report(promise, kind, text)
	f.undecidable = true
}

func (f *jobHistory) apply(s *Step, has map[What]*Step) {
	switch s.What {
	case Enqueued:
		f.number = s.N
	case Waits:
		f.places[Waits]++
	case Taken:
		f.places[Waits]--
	case Died:
		f.places[Died]++
		f.checkDeath(has)
	case Left:
		f.places[Died]--
		if has[Departed] == nil {
			f.reportAndStop("P11", "dead entry vanished", "it left the dead letter queue without a departure")
		}
	case Departed:
		f.finished = s.Outcome
	case Forgotten:
		f.reportAndStop("P1", "record deleted", "a fact about it was deleted")
	case Leased:
		f.applyLease(s)
	case Unleased:
		f.places[Leased]--
		if f.lease == nil || f.lease.Attempt != s.Attempt || f.lease.Worker != s.Worker {
			f.reportAndStop("P5", "stale write accepted", fmt.Sprintf("the lease of attempt %d by worker %d ended, but it was not active", s.Attempt, s.Worker))
		} else if noted := has[Noted]; noted == nil || noted.Attempt != s.Attempt {
			f.reportAndStop("P1", "lost", fmt.Sprintf("attempt %d ended without a record", s.Attempt))
		}
		f.lease = nil
	case Noted:
		f.applyEnd(s, has)
	}
}

func (f *jobHistory) applyLease(s *Step) {
	f.places[Leased]++
	f.judge.verdict.Attempts++
	if f.lease != nil {
		f.reportAndStop("P4", "overlapping leases", fmt.Sprintf("attempt %d by worker %d began while attempt %d by worker %d ran",
			s.Attempt, s.Worker, f.lease.Attempt, f.lease.Worker))
		return
	}
	if s.Attempt != f.attempt+1 {
		f.reportAndStop("P4", "attempt reused", fmt.Sprintf("attempt %d follows attempt %d", s.Attempt, f.attempt))
		return
	}
	f.attempt, f.lease, f.leases[s.Attempt] = s.Attempt, s, s
}

func (f *jobHistory) applyEnd(s *Step, has map[What]*Step) {
	if f.ends[s.Attempt] != nil {
		f.reportAndStop("P5", "ended twice", fmt.Sprintf("attempt %d ended as %s and as %s", s.Attempt, f.ends[s.Attempt].Outcome, s.Outcome))
		return
	}
	f.ends[s.Attempt] = s
	if lease := f.leases[s.Attempt]; lease == nil {
		// A waiting job ends without a claim, under the next number.
		if has[Taken] == nil || s.Attempt != f.attempt+1 {
			f.reportAndStop("P5", "stale write accepted", fmt.Sprintf("attempt %d ended, but it never began", s.Attempt))
			return
		}
		f.attempt = s.Attempt
	} else if has[Unleased] == nil || lease.Worker != s.Worker {
		f.reportAndStop("P5", "stale write accepted", fmt.Sprintf("worker %d ended attempt %d without its lease", s.Worker, s.Attempt))
		return
	}
	switch s.Outcome {
	case "completed", "cancelled", "expired":
		f.finished = s.Outcome
	case "lost":
		f.judge.verdict.Lost++
	}
}
