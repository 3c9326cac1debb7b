package proof

import "fmt"

// P1, P4, P5, P11: a job's life, one committed transaction at a time. After each it is
// in exactly one place or finished; a lease begins only where none is; an attempt ends
// once, by its lease; a dead job leaves with a departure.

// file is what is known of one job.
type file struct {
	judge   *judge
	job     int64
	steps   []Step
	notes   []note
	effects []Effect

	places   map[What]int // rows in pending (Waits), running (Leased), dead_jobs (Died)
	finished string
	lease    *Step           // the one that runs
	leases   map[int32]*Step // by attempt
	ends     map[int32]*Step
	attempt  int32
	stopped  bool // a violation made what follows meaningless
}

// story tells what happened to the job, steps and events together.
func (f *file) story() []string {
	const stamp = "15:04:05.000000"
	var lines []string
	notes := f.notes
	tell := func(n note) string {
		return fmt.Sprintf("%s  process %d  %s %s attempt %d %s", n.at.Format(stamp), n.process, n.op, n.kind, n.attempt, n.outcome)
	}
	for _, s := range f.steps {
		for len(notes) > 0 && notes[0].at.Before(s.At) {
			lines, notes = append(lines, tell(notes[0])), notes[1:]
		}
		lines = append(lines, fmt.Sprintf("%s  transaction %d  %s attempt %d worker %d %s", s.At.Format(stamp), s.Tx, s.What, s.Attempt, s.Worker, s.Outcome))
	}
	for _, n := range notes {
		lines = append(lines, tell(n))
	}
	return lines
}

func (f *file) broken(promise, kind, text string) {
	f.judge.broken(Violation{promise, kind, fmt.Sprintf("job %d: %s", f.job, text), f.story()})
}

func (f *file) replay() {
	f.places, f.leases, f.ends = map[What]int{}, map[int32]*Step{}, map[int32]*Step{}
	for i := 0; i < len(f.steps) && !f.stopped; {
		end := i + 1
		for end < len(f.steps) && f.steps[end].Tx == f.steps[i].Tx {
			end++
		}
		f.transact(f.steps[i:end])
		i = end
	}
	if f.stopped {
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
		f.stuck()
	}
}

func (f *file) stuck() {
	if f.lease == nil {
		f.broken("P3", "stuck", "it waits, and everything else is done")
		return
	}
	whose := fmt.Sprintf("worker %d, which is registered and does not run it", f.lease.Worker)
	if !f.judge.lives[f.lease.Worker].Ended.IsZero() {
		whose = fmt.Sprintf("worker %d, which is registered no more", f.lease.Worker)
	}
	f.broken("P3", "stuck", "it is leased to "+whose)
}

// transact applies what one transaction did.
func (f *file) transact(steps []Step) {
	wasFinished := f.finished
	has := map[What]*Step{}
	for i := range steps {
		has[steps[i].What] = &steps[i]
	}
	for i := range steps {
		f.apply(&steps[i], has)
		if f.stopped {
			return
		}
	}
	places := f.places[Waits] + f.places[Leased] + f.places[Died]
	switch {
	case wasFinished != "" && (places > 0 || f.finished != wasFinished):
		f.stop("P1", "ended twice", "it had finished: "+wasFinished)
	case places > 1:
		f.stop("P1", "doubled", "it is in more than one place")
	case places == 0 && f.finished == "":
		f.stop("P1", "lost", "it is in no place and has not finished")
	case places == 1 && f.finished != "":
		f.stop("P1", "doubled", "it has finished ("+f.finished+") and is in a place as well")
	}
}

func (f *file) stop(promise, kind, text string) {
	f.broken(promise, kind, text)
	f.stopped = true
}

func (f *file) apply(s *Step, has map[What]*Step) {
	switch s.What {
	case Waits:
		f.places[Waits]++
	case Taken:
		f.places[Waits]--
	case Died:
		f.places[Died]++
	case Left:
		f.places[Died]--
		if has[Departed] == nil {
			f.stop("P11", "dead entry vanished", "it left the dead letter queue without a departure")
		}
	case Departed:
		f.finished = s.Outcome
	case Forgotten:
		f.stop("P1", "record deleted", "a fact about it was deleted")
	case Leased:
		f.leased(s)
	case Unleased:
		f.places[Leased]--
		if f.lease == nil || f.lease.Attempt != s.Attempt || f.lease.Worker != s.Worker {
			f.stop("P5", "stale write accepted", fmt.Sprintf("the lease of attempt %d by worker %d ended, which did not run", s.Attempt, s.Worker))
		} else if noted := has[Noted]; noted == nil || noted.Attempt != s.Attempt {
			f.stop("P1", "lost", fmt.Sprintf("attempt %d ended without a record", s.Attempt))
		}
		f.lease = nil
	case Noted:
		f.noted(s, has)
	}
}

func (f *file) leased(s *Step) {
	f.places[Leased]++
	f.judge.verdict.Attempts++
	if f.lease != nil {
		f.stop("P4", "overlapping leases", fmt.Sprintf("attempt %d by worker %d began while attempt %d by worker %d ran",
			s.Attempt, s.Worker, f.lease.Attempt, f.lease.Worker))
		return
	}
	if s.Attempt != f.attempt+1 {
		f.stop("P4", "attempt reused", fmt.Sprintf("attempt %d follows attempt %d", s.Attempt, f.attempt))
		return
	}
	f.attempt, f.lease, f.leases[s.Attempt] = s.Attempt, s, s
}

func (f *file) noted(s *Step, has map[What]*Step) {
	if f.ends[s.Attempt] != nil {
		f.stop("P5", "ended twice", fmt.Sprintf("attempt %d ended as %s and as %s", s.Attempt, f.ends[s.Attempt].Outcome, s.Outcome))
		return
	}
	f.ends[s.Attempt] = s
	if lease := f.leases[s.Attempt]; lease == nil {
		// A waiting job ends without a claim, under the next number.
		if has[Taken] == nil || s.Attempt != f.attempt+1 {
			f.stop("P5", "stale write accepted", fmt.Sprintf("attempt %d ended, which never began", s.Attempt))
			return
		}
		f.attempt = s.Attempt
	} else if has[Unleased] == nil || lease.Worker != s.Worker {
		f.stop("P5", "stale write accepted", fmt.Sprintf("worker %d ended attempt %d without its lease", s.Worker, s.Attempt))
		return
	}
	switch s.Outcome {
	case "completed", "cancelled", "expired":
		f.finished = s.Outcome
	case "lost":
		f.judge.verdict.Lost++
	}
}
