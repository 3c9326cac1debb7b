package proof

import (
	"fmt"
	"slices"
)

// P3, P5, P6, P8: compares what handlers reported, and the answers they got, with what
// was committed.

// effectText marks an end that a handler commits with its effect.
const effectText = "effect"

// attemptEvents are the history's events of one attempt.
type attemptEvents struct {
	start    *handlerEvent
	intents  []*handlerEvent // in order; after a lost reply a handler may report completed and then failed
	answered bool
}

// recordedOutcome is how the database records an outcome that a worker reports.
func recordedOutcome(said string) string {
	if said == "dead" {
		return "failed"
	}
	return said
}

func (f *jobHistory) matchHandlers() {
	if f.undecidable {
		return
	}
	attempts := map[int32]*attemptEvents{}
	for i := range f.events {
		n := &f.events[i]
		w := attempts[n.attempt]
		if w == nil {
			w = &attemptEvents{}
			attempts[n.attempt] = w
		}
		switch {
		case n.op == OpRun && w.start != nil:
			f.report("P4", "run twice", fmt.Sprintf("attempt %d was run by process %d and by process %d", n.attempt, w.start.process, n.process))
		case n.op == OpRun:
			w.start = n
			if f.leases[n.attempt] == nil {
				f.report("P4", "run without a lease", fmt.Sprintf("attempt %d ran, but no committed claim leased it", n.attempt))
			}
		case n.kind == Invoke:
			w.intents = append(w.intents, n)
		default:
			w.answered = true
			f.matchAnswer(n)
		}
	}
	for attempt, end := range f.ends {
		f.matchEnd(attempt, end, attempts[attempt])
	}
	for attempt, w := range attempts {
		f.matchMissingAnswer(attempt, w)
	}
}

// matchMissingAnswer: a worker repeats a report until Postgres has answered it, however
// long that takes, unless its process dies.
func (f *jobHistory) matchMissingAnswer(attempt int32, w *attemptEvents) {
	if len(w.intents) == 0 || w.answered {
		return
	}
	process := int(w.intents[0].process)
	if _, killed := f.judge.killedAt[process]; !killed {
		f.report("P3", "end dropped", fmt.Sprintf("process %d lived and its handler reported attempt %d as %s, but no answer ever came",
			process, attempt, w.intents[0].outcome))
	}
}

// matchAnswer compares the answer that a worker got with the record.
func (f *jobHistory) matchAnswer(n *handlerEvent) {
	end := f.ends[n.attempt]
	is := end != nil && end.Outcome == recordedOutcome(n.outcome)
	switch {
	case n.kind == OK && !is:
		f.report("P5", "stale write accepted", fmt.Sprintf("process %d got the answer that its attempt %d is recorded as %s", n.process, n.attempt, n.outcome))
	case n.kind == Fail && is && n.outcome == "completed":
		f.report("P8", "wrong answer", fmt.Sprintf("process %d got the answer that its attempt %d lost its lease, but it is recorded as %s", n.process, n.attempt, end.Outcome))
	}
}

// matchEnd compares a recorded end with what its handler reported before.
func (f *jobHistory) matchEnd(attempt int32, end *Step, w *attemptEvents) {
	if end.Outcome != "completed" && end.Outcome != "failed" && end.Outcome != "snoozed" || f.leases[attempt] == nil {
		return
	}
	if end.Overdue {
		f.matchDeadline(attempt, end)
		return
	}
	if w == nil || w.start == nil {
		f.report("P3", "ended without running", fmt.Sprintf("attempt %d is recorded as %s, but no handler ran it", attempt, end.Outcome))
		return
	}
	said := func(n *handlerEvent) bool {
		return recordedOutcome(n.outcome) == end.Outcome && (f.judge.twoClocks || !n.at.After(end.At))
	}
	mine := slices.ContainsFunc(w.intents, func(n *handlerEvent) bool { return f.isMine(n) && said(n) })
	switch {
	case mine:
	case slices.ContainsFunc(w.intents, said): // a failover gives ids out twice
		f.report("P3", "ended by another job", fmt.Sprintf("attempt %d was recorded as %s when the handler of another job with this id reported that",
			attempt, end.Outcome))
	default:
		f.report("P5", "stale write accepted", fmt.Sprintf("attempt %d was recorded as %s before its handler reported that", attempt, end.Outcome))
	}
}

// matchDeadline: maintenance may end an attempt once its deadline has passed, by the
// database's clock, which may jump.
func (f *jobHistory) matchDeadline(attempt int32, end *Step) {
	f.judge.verdict.Overdue++
	if deadline := f.leases[attempt].Deadline; !f.judge.twoClocks && end.At.Before(deadline) {
		f.report("P3", "ended early", fmt.Sprintf("attempt %d ended as overdue %s before its deadline", attempt, deadline.Sub(end.At)))
	}
}

// matchEffects: a handler's own writes exist exactly once if its attempt completed with
// them, and not at all if no attempt did.
func (f *jobHistory) matchEffects() {
	if f.undecidable {
		return
	}
	f.judge.verdict.Effects += len(f.effects)
	var completed int32
	for attempt, end := range f.ends {
		if end.Outcome == "completed" {
			completed = attempt
		}
	}
	for _, n := range f.events {
		if n.op == OpEnd && n.kind == Invoke && n.effect && n.attempt == completed && len(f.effects) == 0 {
			f.report("P6", "effect missing", fmt.Sprintf("attempt %d completed without its effect", completed))
		}
	}
	switch {
	case len(f.effects) > 1:
		f.report("P6", "effect applied twice", fmt.Sprintf("its effect was applied %d times", len(f.effects)))
	case len(f.effects) == 1 && f.effects[0].Attempt != completed:
		f.report("P6", "effect without completion", fmt.Sprintf("the effect of attempt %d was kept, but attempt %d completed", f.effects[0].Attempt, completed))
	}
}
