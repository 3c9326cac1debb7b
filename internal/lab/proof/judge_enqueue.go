package proof

import (
	"fmt"
	"slices"
)

// P1, P2, P7: an enqueue whose answer was OK exists exactly once, under the id of the
// answer. One that was refused or rolled back does not exist. One without an answer may
// or may not exist.

func (j *judge) addEnqueueEvent(e Event) {
	for i := range max(e.Count, 1) {
		n := e.N + int64(i)
		a := j.enqueues[n]
		if a == nil {
			a = &enqueueRecord{kind: Invoke}
			j.enqueues[n] = a
		}
		switch e.Kind {
		case Invoke:
			if a.kind == Fail { // repeated with the same key
				a.kind = Invoke
			}
		case OK:
			if a.kind == OK {
				if a.answeredID == e.IDs[i] {
					continue
				}
				j.report(Violation{
					Promise: "P7", Kind: "doubled",
					Text: fmt.Sprintf("enqueue %d has one idempotency key and got the ids %d and %d", n, a.answeredID, e.IDs[i]),
				})
				continue
			}
			a.kind, a.answeredID = OK, e.IDs[i]
		case Unknown:
			if a.kind != OK {
				a.kind = Unknown
			}
		case Fail:
			if a.kind == Invoke {
				a.kind = Fail
			}
		}
	}
}

// matchEnqueue matches a job with the request that made it.
func (j *judge) matchEnqueue(f *jobHistory) {
	j.verdict.Jobs++
	born := slices.IndexFunc(f.steps, func(s Step) bool { return s.What == Enqueued })
	if born < 0 {
		f.report("P2", "unexpected", "it is in the tables but was never enqueued")
		return
	}
	n := f.steps[born].N
	if n == 0 || f.steps[born].Origin != 0 {
		return
	}
	a := j.enqueues[n]
	switch {
	case a == nil:
		f.report("P2", "unexpected", "no process requested it")
		return
	case a.kind == Fail:
		f.report("P2", "unexpected", fmt.Sprintf("enqueue %d was refused or rolled back, but the job exists", n))
	case a.actualID != 0:
		f.report("P7", "doubled", fmt.Sprintf("enqueue %d is also job %d", n, a.actualID))
	case a.kind == OK && a.answeredID != f.job:
		f.report("P7", "doubled", fmt.Sprintf("enqueue %d got the id %d", n, a.answeredID))
	}
	a.actualID = f.job
}

func (j *judge) finishEnqueues() {
	for n, a := range j.enqueues {
		switch {
		case a.kind == OK && a.actualID == 0:
			j.report(Violation{
				Promise: "P1", Kind: "lost",
				Text: fmt.Sprintf("enqueue %d got the id %d, but no such job was committed", n, a.answeredID),
			})
		case a.kind == Fail:
			j.verdict.Refused++
		case a.kind != OK:
			j.verdict.Unknown++
			if a.actualID != 0 {
				j.verdict.UnknownKept++
			}
		}
	}
}
