package proof

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scenario is a history written by hand: what processes recorded and what was
// committed. Times are seconds after an arbitrary start.
type scenario struct {
	events       []Event
	steps        []Step
	effects      []Effect
	incarnations []Incarnation
	faults       []Fault
	rules        []string // nemeses whose optional rules apply
	healed       float64
	liveWorkers  []int
	processLives bool // process 2 is alive; otherwise it is killed at the very end
	tx           int64
}

var scenarioStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(second float64) time.Time {
	return scenarioStart.Add(time.Duration(second * float64(time.Second)))
}

// enqueues adds an enqueue of job number n and its answer.
func (s *scenario) enqueues(n int64, kind Kind, id int64) *scenario {
	s.events = append(s.events, Event{Process: 1, Op: OpEnqueue, Kind: Invoke, N: n, Count: 1})
	e := Event{Process: 1, Op: OpEnqueue, Kind: kind, N: n, Count: 1}
	if kind == OK {
		e.IDs = []int64{id}
	}
	s.events = append(s.events, e)
	return s
}

// commits adds what one transaction did to one job.
func (s *scenario) commits(second float64, steps ...Step) *scenario {
	s.tx++
	for _, step := range steps {
		step.Seq, step.Tx = int64(len(s.steps)+1), s.tx
		step.At, step.Began, step.Committed = at(second), at(second), at(second)
		if step.RunAt.IsZero() {
			step.RunAt = at(0)
		}
		step.Queue = "q"
		s.steps = append(s.steps, step)
	}
	return s
}

func (s *scenario) appears(second float64, id, n int64) *scenario {
	return s.commits(second, Step{What: Enqueued, Job: id, N: n}, Step{What: Waits, Job: id})
}

func (s *scenario) leases(second float64, id int64, attempt int32, worker int64) *scenario {
	return s.commits(second, Step{What: Taken, Job: id, Attempt: attempt - 1}, Step{What: Leased, Job: id, Attempt: attempt, Worker: worker})
}

// ends adds the committed end of an attempt, and where the job went.
func (s *scenario) ends(second float64, id int64, attempt int32, worker int64, outcome string, to ...What) *scenario {
	steps := []Step{
		{What: Unleased, Job: id, Attempt: attempt, Worker: worker},
		{What: Noted, Job: id, Attempt: attempt, Worker: worker, Outcome: outcome},
	}
	for _, w := range to {
		steps = append(steps, Step{What: w, Job: id, Attempt: attempt})
	}
	return s.commits(second, steps...)
}

// overdue adds an end by maintenance; the deadline is at nine seconds.
func (s *scenario) overdue(second float64, id int64, attempt int32, worker int64) *scenario {
	for i := range s.steps {
		if step := &s.steps[i]; step.What == Leased && step.Job == id && step.Attempt == attempt {
			step.Deadline = at(9)
		}
	}
	s.ends(second, id, attempt, worker, "failed", Waits)
	for i := range s.steps {
		if step := &s.steps[i]; step.What == Noted && step.Job == id && step.Attempt == attempt {
			step.Overdue = true
		}
	}
	return s
}

func (s *scenario) runs(second float64, id int64, attempt int32) *scenario {
	s.events = append(s.events, Event{At: at(second), Process: 2, Op: OpRun, Kind: Invoke, Job: id, Attempt: attempt})
	return s
}

func (s *scenario) intends(second float64, id int64, attempt int32, outcome string) *scenario {
	s.events = append(s.events, Event{At: at(second), Process: 2, Op: OpEnd, Kind: Invoke, Job: id, Attempt: attempt, Outcome: outcome})
	return s
}

func (s *scenario) answered(second float64, id int64, attempt int32, kind Kind, outcome string) *scenario {
	s.events = append(s.events, Event{At: at(second), Process: 2, Op: OpEnd, Kind: kind, Job: id, Attempt: attempt, Outcome: outcome})
	return s
}

// done adds a whole life of job id, number id, by worker 5, starting at a second.
func (s *scenario) done(second float64, id int64) *scenario {
	return s.enqueues(id, OK, id).appears(second, id, id).leases(second+1, id, 1, 5).runs(second+1.1, id, 1).
		intends(second+1.5, id, 1, "completed").ends(second+2, id, 1, 5, "completed").answered(second+2.1, id, 1, OK, "completed")
}

// verdict judges the scenario.
func (s *scenario) verdict() *Verdict {
	j := newJudge(limitsFor(15 * time.Second))
	for _, nemesis := range s.rules {
		j.rules[nemesis] = true
	}
	for _, e := range s.events {
		j.addEvent(e)
	}
	faults := s.faults
	if !s.processLives {
		faults = append([]Fault{{Process: 2, Kills: true, From: at(1e6), To: at(1e6)}}, faults...)
	}
	j.addContext(faults, s.incarnations, []Span{{9, at(-100), at(1e5)}})
	j.drained, j.healed, j.liveWorkers = true, at(s.healed), s.liveWorkers
	jobs := map[int64][]Step{}
	for _, step := range s.steps {
		jobs[step.Job] = append(jobs[step.Job], step)
	}
	for _, id := range slices.Sorted(maps.Keys(jobs)) {
		var effects []Effect
		for _, e := range s.effects {
			if e.Job == id {
				effects = append(effects, e)
			}
		}
		j.addJob(jobs[id], effects)
	}
	return j.finish()
}

func TestTheJudgeAcquitsGoodHistories(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*scenario{
		"nothing happened": {},
		"a process lives and gets an answer to every end":          new(scenario).done(0, 1).survives(),
		"a job is enqueued, claimed, run, completed":               new(scenario).done(0, 1),
		"an enqueue without an answer is there":                    new(scenario).done(0, 1).enqueues(2, Unknown, 0).appears(0, 2, 2).leases(1, 2, 1, 5).runs(1, 2, 1).intends(1, 2, 1, "completed").ends(2, 2, 1, 5, "completed"),
		"an enqueue without an answer is not there":                new(scenario).enqueues(1, Unknown, 0),
		"an enqueue is refused, and asked again without an answer": new(scenario).enqueues(1, Fail, 0).enqueues(1, Invoke, 0).appears(0, 1, 1).leases(1, 1, 1, 5).runs(1, 1, 1).intends(1, 1, 1, "completed").ends(2, 1, 1, 5, "completed"),
		"a refused enqueue is not there":                           new(scenario).enqueues(1, Fail, 0),
		"a keyed enqueue gets the same id twice":                   new(scenario).done(0, 1).enqueues(1, OK, 1),
		"a failed attempt is retried":                              new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).leases(1, 1, 1, 5).runs(1, 1, 1).intends(2, 1, 1, "failed").ends(2, 1, 1, 5, "failed", Waits).leases(3, 1, 2, 5).runs(3, 1, 2).intends(4, 1, 2, "completed").ends(4, 1, 2, 5, "completed"),
		"a completion whose reply was lost":                        new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).leases(1, 1, 1, 5).runs(1, 1, 1).intends(1, 1, 1, "completed").ends(2, 1, 1, 5, "completed"),
		"a stale completion is refused":                            new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).leases(1, 1, 1, 5).runs(1, 1, 1).ends(17, 1, 1, 5, "lost", Waits).leases(18, 1, 2, 6).runs(18, 1, 2).intends(19, 1, 1, "completed").answered(19, 1, 1, Fail, "completed").intends(20, 1, 2, "completed").ends(20, 1, 2, 6, "completed"),
		"an attempt is ended by its deadline":                      new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).leases(1, 1, 1, 5).overdue(9, 1, 1, 5).leases(10, 1, 2, 5).runs(10, 1, 2).intends(11, 1, 2, "completed").ends(11, 1, 2, 5, "completed"),
		"a dead job is redriven":                                   new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).leases(1, 1, 1, 5).runs(1, 1, 1).intends(1, 1, 1, "dead").ends(2, 1, 1, 5, "failed", Died).commits(3, Step{What: Left, Job: 1}, Step{What: Departed, Job: 1, Outcome: "redriven"}).commits(3, Step{What: Enqueued, Job: 2, N: 1, Origin: 1}, Step{What: Waits, Job: 2}).commits(4, Step{What: Taken, Job: 2}, Step{What: Noted, Job: 2, Attempt: 1, Outcome: "cancelled"}),
		"a dead job stays":                                         new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).leases(1, 1, 1, 5).runs(1, 1, 1).intends(1, 1, 1, "dead").ends(2, 1, 1, 5, "failed", Died),
		"an effect commits with its completion":                    new(scenario).done(0, 1).affects(1, 1),
		"a handler completed, and after a lost reply":              new(scenario).done(0, 1).intends(2.05, 1, 1, "failed"),
		"a killed worker is buried": {incarnations: []Incarnation{{ID: 5, Process: 2, Beats: 9, Buried: true, Ended: at(30)}}, faults: []Fault{
			{Process: 2, Kills: true, From: at(10), To: at(10)},
		}},
		"a registration that was never used is buried": {incarnations: []Incarnation{{ID: 5, Process: 2, Buried: true, Ended: at(30)}}},
		"a frozen worker is buried and works again":    new(scenario).frozen().done(40, 1),
		"a claim 4 s after an outage":                  new(scenario).fault(Fault{Down: true, From: at(-5), To: at(-3)}).heals(9).done(0, 1),
		"an outage follows a crash at once": new(scenario).fault(Fault{Down: true, From: at(-30), To: at(-28)}).
			fault(Fault{Down: true, From: at(-28), To: at(-2)}).heals(9).done(0, 1),
		"a lower priority goes first for want of a commit": new(scenario).passes(2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := s.verdict()
			require.Empty(t, v.Violations, "%+v", v.Examples)
		})
	}
}

func TestTheJudgeFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	begun := func() *scenario {
		return new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).leases(1, 1, 1, 5).runs(1, 1, 1)
	}
	for name, c := range map[string]struct {
		kind, promise string
		*scenario
	}{
		"an answered enqueue is not there":             {"lost", "P1", new(scenario).enqueues(1, OK, 1)},
		"a job leaves pending for nowhere":             {"lost", "P1", new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).commits(1, Step{What: Taken, Job: 1})},
		"a lease ends without a record":                {"lost", "P1", begun().commits(2, Step{What: Unleased, Job: 1, Attempt: 1, Worker: 5}, Step{What: Waits, Job: 1})},
		"one enqueue is two jobs":                      {"doubled", "P7", new(scenario).done(0, 1).appears(3, 2, 1).commits(4, Step{What: Taken, Job: 2}, Step{What: Noted, Job: 2, Attempt: 1, Outcome: "cancelled"})},
		"one key gets two ids":                         {"doubled", "P7", new(scenario).done(0, 1).enqueues(1, OK, 2)},
		"a claim leaves the job in pending":            {"doubled", "P1", new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).commits(1, Step{What: Leased, Job: 1, Attempt: 1, Worker: 5})},
		"a rolled back enqueue is there":               {"unexpected", "P2", new(scenario).done(0, 1).enqueues(2, Fail, 0).appears(0, 2, 2).commits(4, Step{What: Taken, Job: 2}, Step{What: Noted, Job: 2, Attempt: 1, Outcome: "cancelled"})},
		"no process requested it":                      {"unexpected", "P2", new(scenario).appears(0, 2, 2).commits(4, Step{What: Taken, Job: 2}, Step{What: Noted, Job: 2, Attempt: 1, Outcome: "cancelled"})},
		"a handler ran a job that was never committed": {"unexpected", "P2", new(scenario).runs(1, 9, 1)},
		"an attempt ends twice":                        {"ended twice", "P5", new(scenario).done(0, 1).commits(3, Step{What: Noted, Job: 1, Attempt: 1, Worker: 5, Outcome: "failed"})},
		"a completed job is claimed again":             {"ended twice", "P1", new(scenario).done(0, 1).commits(3, Step{What: Leased, Job: 1, Attempt: 2, Worker: 5})},
		"two leases overlap":                           {"overlapping leases", "P4", begun().commits(2, Step{What: Leased, Job: 1, Attempt: 2, Worker: 6})},
		"an attempt's number comes again":              {"attempt reused", "P4", begun().ends(2, 1, 1, 5, "released", Waits).leases(3, 1, 1, 6)},
		"the first worker ends the second's attempt":   {"stale write accepted", "P5", begun().ends(17, 1, 1, 5, "lost", Waits).leases(18, 1, 2, 6).runs(18, 1, 2).intends(19, 1, 1, "completed").ends(19, 1, 2, 6, "completed").intends(20, 1, 2, "completed")},
		"a stale end gets the answer OK":               {"stale write accepted", "P5", begun().intends(2, 1, 1, "completed").ends(17, 1, 1, 5, "lost", Waits).leases(18, 1, 2, 6).runs(18, 1, 2).intends(20, 1, 2, "completed").ends(20, 1, 2, 6, "completed").answered(21, 1, 1, OK, "completed")},
		"another outcome than the handler's":           {"stale write accepted", "P5", begun().intends(2, 1, 1, "failed").ends(3, 1, 1, 5, "completed")},
		"a repeated completion is refused":             {"wrong answer", "P8", begun().intends(2, 1, 1, "completed").ends(3, 1, 1, 5, "completed").answered(4, 1, 1, Fail, "completed")},
		"an attempt is run by two":                     {"run twice", "P4", new(scenario).done(0, 1).runs(1.2, 1, 1)},
		"an attempt is run without a claim":            {"run without a lease", "P4", new(scenario).done(0, 1).runs(4, 1, 2)},
		"a job completes without running":              {"ended without running", "P3", new(scenario).enqueues(1, OK, 1).appears(0, 1, 1).leases(1, 1, 1, 5).ends(2, 1, 1, 5, "completed")},
		"an attempt is ended before its deadline":      {"ended early", "P3", begun().overdue(8, 1, 1, 5).leases(10, 1, 2, 5).runs(10, 1, 2).intends(11, 1, 2, "completed").ends(11, 1, 2, 5, "completed")},
		"a handler's word is dropped":                  {"end dropped", "P3", begun().intends(2, 1, 1, "completed").ends(3, 1, 1, 5, "released", Waits).leases(4, 1, 2, 5).runs(4, 1, 2).intends(5, 1, 2, "completed").ends(5, 1, 2, 5, "completed").answered(5, 1, 2, OK, "completed").survives()},
		"a job runs for ever":                          {"stuck", "P3", begun()},
		"a job waits for ever":                         {"stuck", "P3", new(scenario).enqueues(1, OK, 1).appears(0, 1, 1)},
		"a dead job vanishes":                          {"dead entry vanished", "P11", begun().intends(1, 1, 1, "dead").ends(2, 1, 1, 5, "failed", Died).commits(3, Step{What: Left, Job: 1})},
		"a record is deleted":                          {"record deleted", "P1", new(scenario).done(0, 1).commits(5, Step{What: Forgotten, Job: 1, Attempt: 1})},
		"an effect is there twice":                     {"effect applied twice", "P6", new(scenario).done(0, 1).affects(1, 1).affects(1, 1)},
		"an effect of an attempt that was lost":        {"effect without completion", "P6", new(scenario).done(0, 1).affects(1, 2)},
		"an effect is missing":                         {"effect missing", "P6", new(scenario).done(0, 1).saysEffect(1.6, 1, 1)},
		"a worker is buried alive": {"buried alive", "P12", &scenario{incarnations: []Incarnation{
			{ID: 5, Process: 2, Beats: 9, Buried: true, Ended: at(30)},
		}, faults: []Fault{{Down: true, From: at(20), To: at(21)}}, healed: 25}},
		"a job of a dead worker comes back late": {"late rescue", "P9", begun().fault(Fault{Process: 2, Kills: true, From: at(3), To: at(3)}).
			life(Incarnation{ID: 5, Process: 2, Beats: 2}).ends(24, 1, 1, 5, "lost", Waits).leases(25, 1, 2, 6).runs(25, 1, 2).intends(26, 1, 2, "completed").ends(26, 1, 2, 6, "completed")},
		"no claim for 6 s after an outage":     {"late claim", "P13", new(scenario).fault(Fault{Down: true, From: at(-7), To: at(-5)}).heals(9).done(0, 1)},
		"no claim while one is held":           {"stalled", "P4", new(scenario).done(0, 1).fault(Fault{Nemesis: "held claim", MustFlow: "q", From: at(0.5), To: at(6)})},
		"a worker that works no more":          {"needs a restart", "P13", new(scenario).done(0, 1).heals(5).awake(2)},
		"a high priority waits while low runs": {"order broken", "P10", new(scenario).passes(12)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := c.verdict()
			require.Equal(t, map[string]int{c.kind: 1}, v.Violations, "%+v", v.Examples)
			require.Equal(t, c.promise, v.Examples[0].Promise)
			require.NotEmpty(t, v.Examples[0].Text)
		})
	}
}

func (s *scenario) affects(id int64, attempt int32) *scenario {
	s.effects = append(s.effects, Effect{id, attempt})
	return s
}

func (s *scenario) saysEffect(second float64, id int64, attempt int32) *scenario {
	s.intends(second, id, attempt, "completed")
	s.events[len(s.events)-1].Text = effectText
	return s
}

func (s *scenario) fault(f Fault) *scenario {
	s.faults = append(s.faults, f)
	return s
}

func (s *scenario) life(i Incarnation) *scenario {
	s.incarnations = append(s.incarnations, i)
	return s
}

func (s *scenario) survives() *scenario {
	s.processLives = true
	return s
}

func (s *scenario) heals(second float64) *scenario {
	s.healed = second
	return s
}

func (s *scenario) awake(process int) *scenario {
	s.liveWorkers = append(s.liveWorkers, process)
	return s
}

func (s *scenario) frozen() *scenario {
	return s.fault(Fault{Process: 2, Mute: true, From: at(5), To: at(25)}).
		life(Incarnation{ID: 5, Process: 2, Beats: 9, Buried: true, Ended: at(21)}).heals(26).awake(2)
}

// passes makes a claim every second take a job of low priority while a job of high
// priority waits.
func (s *scenario) passes(seconds int) *scenario {
	const urgent = 100
	s.enqueues(urgent, OK, urgent).commits(0, Step{What: Enqueued, Job: urgent, N: urgent}, Step{What: Waits, Job: urgent, Priority: 20})
	for i := range seconds {
		s.done(float64(i), int64(i+1))
	}
	s.commits(float64(seconds), Step{What: Taken, Job: urgent, Priority: 20}, Step{What: Leased, Job: urgent, Attempt: 1, Worker: 5, Priority: 20})
	return s.runs(float64(seconds), urgent, 1).intends(float64(seconds), urgent, 1, "completed").ends(float64(seconds)+1, urgent, 1, 5, "completed")
}

func TestTheStoryOfACounterExampleIsInTheOrderOfTheClock(t *testing.T) {
	t.Parallel()
	v := new(scenario).done(0, 1).affects(1, 1).affects(1, 1).verdict()
	require.Equal(t, []string{
		"00:00:00.000000  transaction 1  enqueued attempt 0 worker 0 ",
		"00:00:00.000000  transaction 1  waits attempt 0 worker 0 ",
		"00:00:01.000000  transaction 2  taken attempt 0 worker 0 ",
		"00:00:01.000000  transaction 2  leased attempt 1 worker 5 ",
		"00:00:01.100000  process 2  run invoke attempt 1 ",
		"00:00:01.500000  process 2  end invoke attempt 1 completed",
		"00:00:02.000000  transaction 3  unleased attempt 1 worker 5 ",
		"00:00:02.000000  transaction 3  noted attempt 1 worker 5 completed",
		"00:00:02.100000  process 2  end ok attempt 1 completed",
	}, v.Examples[0].Timeline)
}

func TestAHistoryKeepsAllButALineThatAKillBroke(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := openRecorder(dir, 3)
	require.NoError(t, err)
	for n := range 3 {
		r.write(Event{Op: OpEnqueue, Kind: Invoke, N: int64(n + 1)})
	}
	_, err = r.file.WriteString(`{"at":"2026`)
	require.NoError(t, err)
	var heard []string
	require.NoError(t, readHistories(dir, func(e Event) { heard = append(heard, fmt.Sprintf("%d %s %d", e.Process, e.Op, e.N)) }))
	require.Equal(t, []string{"3 enqueue 1", "3 enqueue 2", "3 enqueue 3"}, heard)
	_, err = r.file.WriteString("\n{}\n")
	require.NoError(t, err)
	require.Error(t, readHistories(dir, func(Event) {}), "a broken line in the middle is not a kill's")
}
