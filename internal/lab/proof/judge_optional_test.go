package proof

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// ruled is a scenario of one job under the rules of every optional nemesis. Process 2
// lives: it is killed only at the very end.
func ruled() *scenario {
	s := new(scenario).enqueues(1, OK, 1).appears(0, 1, 1)
	s.rules = OptionalNemeses()
	s.incarnations = []Incarnation{{ID: 5, Process: 2, Beats: 1}, {ID: 6, Process: 3, Beats: 1}}
	return s
}

// runsNumber adds the start of a handler of job number n, which got the id.
func (s *scenario) runsNumber(second float64, process int, id, n int64, attempt int32) *scenario {
	s.events = append(s.events, Event{At: at(second), Process: process, Op: OpRun, Kind: Invoke, N: n, Job: id, Attempt: attempt})
	return s
}

func (s *scenario) intendsNumber(second float64, process int, id, n int64, attempt int32) *scenario {
	s.events = append(s.events, Event{At: at(second), Process: process, Op: OpEnd, Kind: Invoke, N: n, Job: id, Attempt: attempt, Outcome: "completed"})
	return s
}

// paces completes so many jobs a second from one moment to another.
func (s *scenario) paces(from, to float64, perSecond int) *scenario {
	for i := range int((to - from) * float64(perSecond)) {
		second := from + float64(i)/float64(perSecond)
		id := int64(1000 + len(s.steps))
		s.enqueues(id, OK, id).appears(second, id, id).leases(second, id, 1, 5).runs(second, id, 1).
			intends(second, id, 1, "completed").ends(second, id, 1, 5, "completed")
	}
	return s
}

// lost adds a burial and the next lease by the same worker.
func (s *scenario) lost(second float64, attempt int32) *scenario {
	return s.ends(second, 1, attempt, 5, "lost", Waits).leases(second+0.1, 1, attempt+1, 5)
}

func TestTheOptionalRules(t *testing.T) {
	t.Parallel()
	again := func(s *scenario, second float64, attempt int32) *scenario { // a good end
		return s.leases(second, 1, attempt, 5).runs(second, 1, attempt).intends(second+1, 1, attempt, "completed").ends(second+1, 1, attempt, 5, "completed")
	}
	drained := Fault{Process: 2, Kills: true, Drained: true, From: at(1e6), To: at(1e6)}
	for name, c := range map[string]struct {
		kind, promise string // empty: nothing is wrong
		*scenario
	}{
		"a job starts soon after its lease": {"", "", again(ruled(), 1, 1)},
		"a job starts 4 s after its lease": {"leased too early", "P10", ruled().leases(1, 1, 1, 5).runs(5, 1, 1).
			intends(6, 1, 1, "completed").ends(6, 1, 1, 5, "completed")},
		"a handler starts 4 s after its lease in a process that was frozen": {"", "", ruled().leases(1, 1, 1, 5).runs(5, 1, 1).
			intends(6, 1, 1, "completed").ends(6, 1, 1, 5, "completed").fault(Fault{Process: 2, Mute: true, From: at(2), To: at(4)})},
		"a handler starts 3 s after its attempt has ended": {
			"started after its end", "P4",
			ruled().leases(1, 1, 1, 5).ends(1, 1, 1, 5, "released", Waits).runs(3.9, 1, 1).
				leases(5, 1, 2, 6).runsNumber(5, 3, 1, 1, 2).intendsNumber(6, 3, 1, 1, 2).ends(6, 1, 2, 6, "completed").
				fault(Fault{Process: 3, Kills: true, From: at(1e6), To: at(1e6)}),
		},
		"an attempt times out that was never started": {
			"timed out before it started", "P3",
			again(ruled().leases(1, 1, 1, 5).overdue(9, 1, 1, 5), 10, 2),
		},
		"a stuck handler's job runs in the same process": {
			"run where it still runs", "P4",
			again(ruled().leases(1, 1, 1, 5).runs(1, 1, 1).overdue(9, 1, 1, 5), 10, 2),
		},
		"a stuck handler's job runs in another process": {"", "", ruled().leases(1, 1, 1, 5).runs(1, 1, 1).overdue(9, 1, 1, 5).
			leases(10, 1, 2, 6).runsNumber(10, 3, 1, 1, 2).intendsNumber(11, 3, 1, 1, 2).ends(11, 1, 2, 6, "completed").
			fault(Fault{Process: 3, Kills: true, From: at(1e6), To: at(1e6)})},
		"a handler of a lost job ends a new job with its id": {"ended by another job", "P3", ruled().leases(1, 1, 1, 5).
			runsNumber(1, 2, 1, 1, 1).intendsNumber(2, 3, 1, 77, 1).ends(2, 1, 1, 5, "completed").
			fault(Fault{Process: 3, Kills: true, From: at(1e6), To: at(1e6)})},
		"the third crash ends a job": {"", "", ruled().leases(1, 1, 1, 5).lost(2, 1).lost(3, 2).ends(4, 1, 3, 5, "lost", Died)},
		"the third deploy ends a job": {"died of deploys", "P1", ruled().leases(1, 1, 1, 5).lost(2, 1).lost(3, 2).
			ends(4, 1, 3, 5, "lost", Died).fault(drained)},
		"locked rows slow nothing": {"", "", ruledPace().paces(0, 10, 50).paces(10, 20, 45)},
		"locked rows slow all":     {"slowed by locks", "P3", ruledPace().paces(0, 10, 50).paces(10, 20, 4)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := c.verdict()
			if c.kind == "" {
				require.Empty(t, v.Violations, "%+v", v.Examples)
				return
			}
			require.Equal(t, map[string]int{c.kind: 1}, v.Violations, "%+v", v.Examples)
			require.Equal(t, c.promise, v.Examples[0].Promise)
			require.NotEmpty(t, v.Examples[0].Text)
		})
	}
}

// ruledPace is a scenario with locked rows in the second ten seconds.
func ruledPace() *scenario {
	s := &scenario{rules: OptionalNemeses(), incarnations: []Incarnation{{ID: 5, Process: 2, Beats: 1}}}
	return s.fault(Fault{Nemesis: "locked rows", MustEnd: "q", From: at(10), To: at(20)})
}
