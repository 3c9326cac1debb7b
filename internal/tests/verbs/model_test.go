package sqltest_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// model is the promises in plain Go: what the tables must hold after each verb.
type model struct {
	world
	clock  int64           // the database's, when the tables were last read
	paused map[string]bool // by queue
	fresh  map[int64]int64 // written to pending just now: the wait from then to run_at
}

const (
	minute         = int64(60_000_000)
	hour           = 60 * minute
	defaultTimeout = 5 * minute
	defaultRuns    = 5 // the shipped policy's max_attempts
	usualPriority  = 5
	crashesAllowed = 3
)

// fatal are the shipped policy's non-retryable classes that the machine uses.
var fatal = []string{"ValidationError", "NotFoundError"}

// said is what a worker says of one attempt.
type said struct {
	attemptKey
	Outcome, Classes, Message, Result string
	Delay                             int64 // negative: the policy's
}

// answer is what finish says to that.
type answer struct{ Status, Outcome, State string }

// recorded is the word that attempts keep for an outcome.
func recorded(outcome string) string {
	if outcome == "dead" {
		return "failed"
	}
	return outcome
}

// finish foretells the answer to one attempt and its effect: P5 and P8.
func (m *model) finish(queue string, s said) answer {
	r, ok := m.Running[s.ID]
	if ok && r.Queue == queue && r.Attempt == s.Attempt {
		return m.end(r, s)
	}
	past, ok := m.Attempts[s.attemptKey]
	if !ok || past.Queue != queue {
		return answer{"lease_lost", "", ""}
	}
	if past.Outcome == recorded(s.Outcome) || past.Outcome == "cancelled" && past.Claimed && s.Outcome != "completed" {
		return answer{"already_done", past.Outcome, ""}
	}
	return answer{"lease_lost", past.Outcome, ""}
}

// end applies what became of a live attempt.
func (m *model) end(r runningRow, s said) answer {
	job := m.Jobs[r.ID]
	delete(m.Running, r.ID)
	class, known := "", false
	if slices.Contains([]string{"failed", "dead", "lost"}, s.Outcome) {
		class, known = classOf(s.Classes)
	}
	runs := cmp.Or(job.MaxAttempts, defaultRuns)
	outcome, reason := recorded(s.Outcome), ""
	wait, again := max(s.Delay, 0), false
	expires := int64(0)
	switch {
	case s.Outcome == "completed":
	case s.Outcome == "cancelled" || r.Cancel:
		outcome = "cancelled"
	case s.Outcome == "snoozed":
		again = true
	case s.Outcome == "released":
		again, expires = true, job.ExpiresAt
	case s.Outcome == "lost":
		r.Crashes++
		again = r.Crashes < crashesAllowed
		reason = "crash_loop"
	case s.Outcome == "dead" || known:
		r.Failures++
		reason = "non_retryable"
	default:
		r.Failures++
		again = r.Failures < int32(runs)
		reason = "exhausted"
		if class == "Timeout" {
			reason = "timeout"
		}
		if s.Delay < 0 {
			wait = job.RetryDelay
		}
	}
	m.Attempts[attemptKey{r.ID, r.Attempt}] = attemptRow{
		place: r.place, Attempt: r.Attempt, RunAt: r.RunAt, Worker: r.Worker, Claimed: true,
		Outcome: outcome, Class: class, Message: s.Message, Result: s.Result, Grouped: class != "",
	}
	switch {
	case again:
		m.Pending[r.ID] = pendingRow{r.place, r.counts, 0, expires, job.Timeout}
		m.fresh[r.ID] = wait
		if s.Outcome == "failed" {
			return answer{"accepted", outcome, "retrying"}
		}
		return answer{"accepted", outcome, "waiting"}
	case reason != "":
		m.Dead[r.ID] = deadRow{
			r.place, r.counts, runs, job.Asked, reason != "non_retryable", reason, class, s.Message, job.Data, job.RetryDelay,
		}
		return answer{"accepted", outcome, "dead"}
	}
	return answer{"accepted", outcome, outcome}
}

// classOf is the class that decides among those an error goes by, outermost first.
func classOf(classes string) (class string, isFatal bool) {
	if classes == "" {
		return "Error", false
	}
	names := strings.Fields(classes)
	for _, name := range names {
		if slices.Contains(fatal, name) {
			return name, true
		}
	}
	return names[0], false
}

// retire ends a waiting job without a claim: cancelled or expired.
func (m *model) retire(id int64, outcome string) {
	p := m.Pending[id]
	delete(m.Pending, id)
	m.Attempts[attemptKey{id, p.Attempt + 1}] = attemptRow{
		place: p.place, Attempt: p.Attempt + 1, RunAt: p.RunAt, Outcome: outcome,
	}
}

func (m *model) expired(p pendingRow) bool { return p.ExpiresAt > 0 && p.ExpiresAt <= m.clock }

// due lists the jobs of a queue that may run, in the order of P10.
func (m *model) due(queue string) []pendingRow {
	var all []pendingRow
	for _, p := range m.Pending {
		if p.Queue == queue && p.RunAt <= m.clock && !m.paused[queue] {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b pendingRow) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.RunAt, b.RunAt), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// claim foretells which jobs a claim hands out, in order. It ends the expired jobs
// that come before the last of them; of those behind it says only that they may.
func (m *model) claim(queue string, worker int64, n int) (leased []int64, mayExpire []int64) {
	for _, p := range m.due(queue) {
		switch {
		case m.expired(p) && len(leased) < n:
			m.retire(p.ID, "expired")
		case m.expired(p):
			mayExpire = append(mayExpire, p.ID)
		case len(leased) < n:
			leased = append(leased, p.ID)
			delete(m.Pending, p.ID)
			p.Attempt++
			timeout := cmp.Or(p.Timeout, defaultTimeout)
			m.Running[p.ID] = runningRow{p.place, p.counts, p.RunAt, worker, timeout, false, false}
		}
	}
	return leased, mayExpire
}

// holder is the job that holds a key, 0 if nobody does: P7.
func (m *model) holder(k queueKey) int64 {
	held, ok := m.Keys[k]
	_, waits := m.Pending[held.ID]
	_, runs := m.Running[held.ID]
	if ok && (held.Bound || waits || runs) {
		return held.ID
	}
	return 0
}

// states derives what job_states must say.
func (m *model) states() map[int64]string {
	last := map[int64]attemptRow{}
	for _, a := range m.Attempts {
		if a.Attempt > last[a.ID].Attempt {
			last[a.ID] = a
		}
	}
	all := map[int64]string{}
	for id := range m.Jobs {
		p, waits := m.Pending[id]
		_, runs := m.Running[id]
		_, dead := m.Dead[id]
		switch {
		case runs:
			all[id] = "running"
		case dead:
			all[id] = "dead"
		case waits && (p.Failures > 0 || p.Crashes > 0):
			all[id] = "retrying"
		case waits && p.RunAt > m.clock:
			all[id] = "scheduled"
		case waits:
			all[id] = "waiting"
		default:
			all[id] = last[id].Outcome
		}
	}
	return all
}

// sorted are a map's keys in order, so that a draw among them can be repeated.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
