package proof

import (
	"fmt"
	"slices"
)

// P1, P2, P7: an enqueue that was told it committed exists, exactly once and under the
// id it was told; one that was refused or rolled back does not; one without an answer
// may do either.

func (j *judge) hearEnqueue(e Event) {
	for i := range max(e.Count, 1) {
		n := e.N + int64(i)
		a := j.asked[n]
		if a == nil {
			a = &asked{kind: Invoke}
			j.asked[n] = a
		}
		switch e.Kind {
		case Invoke:
			if a.kind == Fail { // asked again, with the same key
				a.kind = Invoke
			}
		case OK:
			if a.kind == OK {
				if a.id == e.IDs[i] {
					continue
				}
				j.broken(Violation{
					Promise: "P7", Kind: "doubled",
					Text: fmt.Sprintf("enqueue %d has one idempotency key and was told the ids %d and %d", n, a.id, e.IDs[i]),
				})
				continue
			}
			a.kind, a.id = OK, e.IDs[i]
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

// seen joins a job with the enqueue that asked for it.
func (j *judge) seen(f *file) {
	j.verdict.Jobs++
	born := slices.IndexFunc(f.steps, func(s Step) bool { return s.What == Enqueued })
	if born < 0 {
		f.broken("P2", "unexpected", "it is in the tables and was never enqueued")
		return
	}
	n := f.steps[born].N
	if n == 0 || f.steps[born].Origin != 0 {
		return
	}
	a := j.asked[n]
	switch {
	case a == nil:
		f.broken("P2", "unexpected", "nobody asked for it")
		return
	case a.kind == Fail:
		f.broken("P2", "unexpected", fmt.Sprintf("enqueue %d was refused or rolled back, and yet it is there", n))
	case a.job != 0:
		f.broken("P7", "doubled", fmt.Sprintf("enqueue %d is job %d as well", n, a.job))
	case a.kind == OK && a.id != f.job:
		f.broken("P7", "doubled", fmt.Sprintf("enqueue %d was told that it is job %d", n, a.id))
	}
	a.job = f.job
}

func (j *judge) concludeEnqueues() {
	for n, a := range j.asked {
		switch {
		case a.kind == OK && a.job == 0:
			j.broken(Violation{
				Promise: "P1", Kind: "lost",
				Text: fmt.Sprintf("enqueue %d was told that it is job %d, and no such job was committed", n, a.id),
			})
		case a.kind == Fail:
			j.verdict.Refused++
		case a.kind != OK:
			j.verdict.Unknown++
			if a.job != 0 {
				j.verdict.UnknownKept++
			}
		}
	}
}
