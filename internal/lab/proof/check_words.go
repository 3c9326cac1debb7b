package proof

import (
	"fmt"
	"slices"
)

// P3, P5, P6, P8: what handlers said and were told, against what was committed.

// effectText marks an end that a handler commits with its effect.
const effectText = "effect"

// words are what the histories say of one attempt.
type words struct {
	run  *note
	said []*note // in order; a handler may say that it completed and, after a lost reply, that it failed
	told bool
}

// recorded is the outcome that an attempt's record gives to what its worker said.
func recorded(said string) string {
	if said == "dead" {
		return "failed"
	}
	return said
}

func (f *file) matchWords() {
	if f.stopped {
		return
	}
	attempts := map[int32]*words{}
	for i := range f.notes {
		n := &f.notes[i]
		w := attempts[n.attempt]
		if w == nil {
			w = &words{}
			attempts[n.attempt] = w
		}
		switch {
		case n.op == OpRun && w.run != nil:
			f.broken("P4", "run twice", fmt.Sprintf("attempt %d was run by process %d and by process %d", n.attempt, w.run.process, n.process))
		case n.op == OpRun:
			w.run = n
			if f.leases[n.attempt] == nil {
				f.broken("P4", "run without a lease", fmt.Sprintf("attempt %d was run and no committed claim leased it", n.attempt))
			}
		case n.kind == Invoke:
			w.said = append(w.said, n)
		default:
			w.told = true
			f.matchAnswer(n)
		}
	}
	for attempt, end := range f.ends {
		f.matchEnd(attempt, end, attempts[attempt])
	}
	for attempt, w := range attempts {
		f.matchSilence(attempt, w)
	}
}

// matchSilence: what a handler said is repeated until Postgres has answered it, however
// long that takes, unless its process dies.
func (f *file) matchSilence(attempt int32, w *words) {
	if len(w.said) == 0 || w.told {
		return
	}
	process := int(w.said[0].process)
	if _, killed := f.judge.killed[process]; !killed {
		f.broken("P3", "end dropped", fmt.Sprintf("process %d lived, its handler said that attempt %d %s, and nobody ever told Postgres",
			process, attempt, w.said[0].outcome))
	}
}

// matchAnswer holds what a worker was told against the record.
func (f *file) matchAnswer(n *note) {
	end := f.ends[n.attempt]
	is := end != nil && end.Outcome == recorded(n.outcome)
	switch {
	case n.kind == OK && !is:
		f.broken("P5", "stale write accepted", fmt.Sprintf("process %d was told that its attempt %d is recorded as %s", n.process, n.attempt, n.outcome))
	case n.kind == Fail && is && n.outcome == "completed":
		f.broken("P8", "told wrongly", fmt.Sprintf("process %d was told that its attempt %d lost its lease, and it is recorded as %s", n.process, n.attempt, end.Outcome))
	}
}

// matchEnd holds a recorded end against what its handler said before.
func (f *file) matchEnd(attempt int32, end *Step, w *words) {
	if end.Outcome != "completed" && end.Outcome != "failed" && end.Outcome != "snoozed" || f.leases[attempt] == nil {
		return
	}
	if end.Overdue {
		f.matchDeadline(attempt, end)
		return
	}
	if w == nil || w.run == nil {
		f.broken("P3", "ended unrun", fmt.Sprintf("attempt %d is recorded as %s and no handler ran it", attempt, end.Outcome))
		return
	}
	if !slices.ContainsFunc(w.said, func(n *note) bool {
		return recorded(n.outcome) == end.Outcome && (f.judge.twoClocks || !n.at.After(end.At))
	}) {
		f.broken("P5", "stale write accepted", fmt.Sprintf("attempt %d is recorded as %s before its handler said so", attempt, end.Outcome))
	}
}

// matchDeadline: an attempt that nobody ended may be ended once its deadline has passed,
// by the database's clock, which may jump.
func (f *file) matchDeadline(attempt int32, end *Step) {
	f.judge.verdict.Overdue++
	if deadline := f.leases[attempt].Deadline; !f.judge.twoClocks && end.At.Before(deadline) {
		f.broken("P3", "ended early", fmt.Sprintf("attempt %d ended as overdue %s before its deadline", attempt, deadline.Sub(end.At)))
	}
}

// matchEffects: a handler's own writes are there exactly once if its attempt completed
// by them, and not at all if no attempt did.
func (f *file) matchEffects() {
	if f.stopped {
		return
	}
	f.judge.verdict.Effects += len(f.effects)
	var completed int32
	for attempt, end := range f.ends {
		if end.Outcome == "completed" {
			completed = attempt
		}
	}
	for _, n := range f.notes {
		if n.op == OpEnd && n.kind == Invoke && n.effect && n.attempt == completed && len(f.effects) == 0 {
			f.broken("P6", "effect missing", fmt.Sprintf("attempt %d completed without its effect", completed))
		}
	}
	switch {
	case len(f.effects) > 1:
		f.broken("P6", "effect applied twice", fmt.Sprintf("its effect was applied %d times", len(f.effects)))
	case len(f.effects) == 1 && f.effects[0].Attempt != completed:
		f.broken("P6", "effect without completion", fmt.Sprintf("the effect of attempt %d was kept, and attempt %d completed", f.effects[0].Attempt, completed))
	}
}
