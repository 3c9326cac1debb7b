package sqltest_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock/internal/testkit"
)

// Random verbs over many jobs, queues, priorities and workers, with lapses and
// leaps of the clock in between, leave every table as the promises have it: a job
// is in exactly one place (P1), has one lease (P4), stale words change nothing
// (P5), keys hold (P7), repeats are told so (P8), claims keep the order (P10), and
// no clock but the database's matters, for the machine has none (P12).
func TestAnyHistoryOfVerbsLeavesTheTablesAsPromised(t *testing.T) { // P1, P4, P5, P7, P8, P10, P12
	t.Parallel()
	conn := session(t, testkit.New(t))
	rapid.Check(t, func(t *rapid.T) {
		empty(t, conn)
		m := &machine{conn: conn}
		m.model = model{world: newWorld(), paused: map[string]bool{}, fresh: map[int64]int64{}}
		_, m.clock = observe(t, conn)
		m.Register(t)
		actions := rapid.StateMachineActions(m)
		// The everyday verbs come up more often than the rare ones.
		for _, often := range []string{"Enqueue", "Claim", "Finish"} {
			actions[often+"2"], actions[often+"3"] = actions[often], actions[often]
		}
		t.Repeat(actions)
	})
}

// machine drives the database and the model side by side.
type machine struct {
	model
	conn       *pgx.Conn
	registered []int64 // every worker there ever was
	mayExpire  []int64 // jobs that the last claim was free to end as expired
}

// Check compares every table with the model.
func (m *machine) Check(t *rapid.T) {
	real, clock := observe(t, m.conn)
	for _, id := range m.mayExpire {
		if _, waits := real.Pending[id]; !waits {
			m.retire(id, "expired")
		}
	}
	for id, wait := range m.fresh {
		p, moment := m.Pending[id], real.Pending[id].RunAt-wait
		require.True(t, m.clock <= moment && moment <= clock, "job %d is written with a run_at of the clock plus %d µs", id, wait)
		p.RunAt = real.Pending[id].RunAt
		m.Pending[id] = p
	}
	m.clock, m.mayExpire = clock, nil
	clear(m.fresh)
	m.States = m.states()
	require.Equal(t, m.world, real)
	for id := range m.Jobs {
		m.inOnePlace(t, id)
	}
}

// inOnePlace is P1 for one job.
func (m *machine) inOnePlace(t *rapid.T, id int64) {
	places := 0
	_, waits := m.Pending[id]
	_, runs := m.Running[id]
	_, dead := m.Dead[id]
	for _, there := range []bool{waits, runs, dead, slices.Contains([]string{"completed", "cancelled", "expired"}, m.States[id])} {
		if there {
			places++
		}
	}
	require.Equal(t, 1, places, "the places that job %d is in", id)
}

func (m *machine) Register(t *rapid.T) {
	id := worker(t, m.conn, "any")
	m.registered = append(m.registered, id)
	m.Workers[id] = 0
}

func (m *machine) Heartbeat(t *rapid.T) {
	id := m.anyWorker(t)
	cancels := one[[]int64](t, m.conn, "SELECT penstock.heartbeat($1)", id)
	if _, lives := m.Workers[id]; !lives {
		require.Nil(t, cancels, "a buried worker is told so")
		return
	}
	m.Workers[id]++
	require.NotNil(t, cancels)
	require.ElementsMatch(t, m.runningWhere(func(r runningRow) bool { return r.Worker == id && r.Cancel }), cancels)
}

func (m *machine) Bury(t *rapid.T) {
	id := m.anyWorker(t)
	beat, lives := m.Workers[id]
	if rapid.Bool().Draw(t, "beat since") {
		beat, lives = beat-1, false
	}
	lost := one[*int](t, m.conn, "SELECT penstock.bury($1, $2)", id, beat)
	if !lives {
		require.Nil(t, lost, "who beat meanwhile or is gone is not buried")
		return
	}
	delete(m.Workers, id)
	m.lose(t, m.runningWhere(func(r runningRow) bool { return r.Worker == id }), *lost)
}

// Vanish removes a worker's row alone, as when its claim commits just after it was buried.
func (m *machine) Vanish(t *rapid.T) {
	id := m.anyWorker(t)
	do(t, m.conn, "DELETE FROM penstock.workers WHERE id = $1", id)
	delete(m.Workers, id)
}

func (m *machine) BuryOrphans(t *rapid.T) {
	lost := one[int](t, m.conn, "SELECT penstock.bury_orphans()")
	m.lose(t, m.runningWhere(func(r runningRow) bool {
		_, lives := m.Workers[r.Worker]
		return !lives
	}), lost)
}

func (m *machine) Leave(t *rapid.T) {
	id := m.anyWorker(t)
	held := m.runningWhere(func(r runningRow) bool { return r.Worker == id })
	require.Equal(t, len(held), one[int](t, m.conn, "SELECT penstock.deregister_worker($1)", id))
	delete(m.Workers, id)
	m.endAll(held, said{Outcome: "released", Delay: -1})
}

func (m *machine) ReleaseUnheld(t *rapid.T) {
	id, queue := m.anyWorker(t), queues.Draw(t, "queue")
	held := subset(t, m.runningWhere(func(r runningRow) bool { return r.Worker == id && r.Queue == queue }), "held")
	unheld := m.runningWhere(func(r runningRow) bool {
		return r.Worker == id && r.Queue == queue && !slices.Contains(held, r.ID)
	})
	require.Equal(t, len(unheld), one[int](t, m.conn, "SELECT penstock.release_unheld($1, $2, $3)", queue, id, held))
	m.endAll(unheld, said{Outcome: "released", Delay: -1})
}

func (m *machine) FailOverdue(t *rapid.T) {
	overdue := m.runningWhere(func(r runningRow) bool { return r.Overdue })
	require.Equal(t, len(overdue), one[int](t, m.conn, "SELECT penstock.fail_overdue('30 seconds')"))
	m.endAll(overdue, said{Outcome: "failed", Classes: "Timeout", Message: databaseSaid, Delay: -1})
}

// lose ends attempts whose worker is dead.
func (m *machine) lose(t *rapid.T, lost []int64, counted int) {
	require.Len(t, lost, counted)
	m.endAll(lost, said{Outcome: "lost", Classes: "WorkerLost", Message: databaseSaid, Delay: -1})
}

func (m *machine) endAll(jobs []int64, how said) {
	for _, id := range jobs {
		m.end(m.Running[id], how)
	}
}

func (m *machine) anyWorker(t *rapid.T) int64 {
	return rapid.SampledFrom(m.registered).Draw(t, "worker")
}

// runningWhere lists the jobs with a lease that is so, in order.
func (m *machine) runningWhere(is func(runningRow) bool) []int64 {
	found := []int64{}
	for _, id := range sorted(m.Running) {
		if is(m.Running[id]) {
			found = append(found, id)
		}
	}
	return found
}

// subset draws some of all.
func subset[T any](t *rapid.T, all []T, label string) []T {
	some := []T{}
	for _, each := range all {
		if rapid.Bool().Draw(t, label) {
			some = append(some, each)
		}
	}
	return some
}
