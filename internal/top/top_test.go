package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// filled is a database with 3 jobs waiting in mail, 12 scheduled in tts, and one of
// deploy dead of an error that tries to move a terminal's cursor.
func filled(t *testing.T) *testkit.DB {
	t.Helper()
	d := testkit.New(t)
	client, err := penstock.NewClient(d.Pool, penstock.Config{})
	require.NoError(t, err)
	var jobs []penstock.NewJob
	for range 3 {
		jobs = append(jobs, penstock.NewJob{Queue: "mail", Name: "welcome"})
	}
	for range 12 {
		jobs = append(jobs, penstock.NewJob{Queue: "tts", Name: "speak", Delay: time.Hour})
	}
	_, err = client.EnqueueMany(t.Context(), append(jobs, penstock.NewJob{Queue: "deploy", Name: "contract"}))
	require.NoError(t, err)
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"deploy": {}}})
	require.NoError(t, err)
	penstock.Handle(worker, "deploy", "contract", func(context.Context, *penstock.Job[json.RawMessage]) error {
		return penstock.Dead(errors.New("no gas\x1b[2J left\r\nat all"))
	})
	_, err = worker.RunDue(t.Context(), 0)
	require.NoError(t, err)
	return d
}

func exec(t *testing.T, d *testkit.DB, sql string) {
	t.Helper()
	_, err := d.Pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func TestTheScreenShowsEveryQueueAndFitsTheTerminal(t *testing.T) {
	t.Parallel()
	d := filled(t)
	for _, size := range [][2]int{{80, 24}, {160, 50}} {
		term := turnOn(t, d, size[0], size[1])
		term.shows(t, "penstock top", "db.example/app", "live", "3 waiting", "1 dead", "healthy", "q quit")
		term.showsLike(t, `mail +(healthy|critical) +3 `)
		term.showsLike(t, `deploy +healthy +– +– +1 `)
		if size[0] >= wide {
			term.shows(t, "12 scheduled")
			term.showsLike(t, `tts .* 12 +–`)
		}
		lines := strings.Split(term.text(), "\n")
		require.LessOrEqual(t, len(lines), size[1])
		for _, line := range lines {
			require.LessOrEqual(t, len([]rune(line)), size[0])
		}
		if size[1] >= tall {
			term.shows(t, "What died, by error", "no gas[2J left at all")
		}
		term.press(t, "q")
		term.ends(t)
	}
}

func TestKeysSortFilterAndHelp(t *testing.T) {
	t.Parallel()
	term := turnOn(t, filled(t), 80, 24)
	place := func(queue string) int { return strings.Index(term.text(), queue) }
	term.shows(t, "sort: waiting", "mail", "deploy ", "tts")
	require.Less(t, place("mail"), place("tts"), "the one with jobs waiting comes first")
	term.press(t, "sss")
	term.shows(t, "sort: dead")
	require.Less(t, place("deploy "), place("mail"))
	term.press(t, "s")
	term.shows(t, "sort: name")

	term.press(t, "/t")
	term.shows(t, "filter: t", "tts", "not mail")
	term.press(t, "\r")
	term.press(t, "\x1b")
	term.shows(t, "mail", "not filter:")

	term.press(t, "?")
	term.shows(t, "pause the selected queue", "not WAITING")
	term.press(t, "?")
	term.shows(t, "WAITING")
	term.press(t, "\x03")
	term.ends(t)
}

func TestAQueueIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	term := turnOn(t, filled(t), 80, 24)
	term.shows(t, "mail")
	paused := func() bool {
		s, err := term.client.Queues.Settings(t.Context(), "mail")
		require.NoError(t, err)
		return s.Paused
	}
	term.press(t, "p")
	term.shows(t, "Pause mail? Running jobs finish, no other starts. y n")
	term.press(t, "n")
	term.shows(t, "nothing was changed")
	require.False(t, paused())
	term.press(t, "p")
	term.shows(t, "Pause mail?")
	term.press(t, "y")
	term.shows(t, "mail is paused", "mail (paused)", "1 paused")
	require.True(t, paused())
	term.press(t, "p")
	term.shows(t, "mail is resumed", "not (paused)")
	require.False(t, paused())
	log, err := term.client.Audit.List(t.Context(), penstock.AuditQuery{Queue: "mail", Limit: 10})
	require.NoError(t, err)
	require.Equal(t, "ada", log.Items[0].Actor)
}

func TestADeadJobIsRedrivenOnlyAfterAYes(t *testing.T) { // P11
	t.Parallel()
	term := turnOn(t, filled(t), 80, 24)
	dead := func() int64 {
		stats, err := term.client.DLQ.Stats(t.Context(), "deploy")
		require.NoError(t, err)
		return stats.Total
	}
	term.shows(t, "mail")
	term.press(t, "sss")
	term.shows(t, "sort: dead")
	term.press(t, "g\r")
	term.shows(t, "dead letter queue of deploy", "contract", "non_retryable", "no gas")
	term.press(t, "r")
	term.shows(t, "Redrive job", "of deploy? y n")
	term.press(t, "n")
	term.shows(t, "nothing was changed")
	require.EqualValues(t, 1, dead())
	term.press(t, "r")
	term.shows(t, "of deploy? y n")
	term.press(t, "y")
	term.shows(t, "goes on as job", "not contract")
	require.Zero(t, dead())
	term.press(t, "\x1b")
	term.shows(t, "TREND", "4 waiting")
}

func TestErrorsOpenTheDeadLetterQueueTheyAreIn(t *testing.T) {
	t.Parallel()
	term := turnOn(t, filled(t), 80, 24)
	term.shows(t, "mail")
	term.press(t, "e")
	term.shows(t, "what died, by error", "deploy", "no gas")
	term.press(t, "\r")
	term.shows(t, "dead letter queue of deploy")
}

func TestTheLastStateStaysWhilePostgresIsAway(t *testing.T) { // P13
	t.Parallel()
	term := turnOn(t, filled(t), 80, 24)
	term.shows(t, "live", "3 waiting")
	term.cutOff(true)
	term.shows(t, "no answer", "3 waiting", "mail")
	term.cutOff(false)
	term.shows(t, "live", "not no answer")
	term.press(t, "q")
	term.ends(t)
}

func TestItEndsWithItsContext(t *testing.T) {
	t.Parallel()
	term := turnOn(t, filled(t), 80, 24)
	term.shows(t, "live")
	term.stop()
	term.ends(t)
}

func TestTheWorstIssueOfAllIsShownWithWhatToDoAboutIt(t *testing.T) {
	t.Parallel()
	d := filled(t)
	exec(t, d, `SELECT penstock.set_health_thresholds('mail', '{"wait_objective": 10}')`)
	term := turnOn(t, d, 80, 24)
	term.shows(t, "critical mail 3 jobs are due and no live worker works this queue")
	term.showsLike(t, "^→ penstock work --queue mail -- COMMAND, or a process of yours that handles it *$")
	exec(t, d, "SELECT penstock.register_worker('{mail}')")
	exec(t, d, `SELECT penstock.set_health_thresholds('mail', '{"wait_objective": 3600000}')`)
	term.shows(t, "not critical", "not → ")
	term.showsLike(t, `mail +healthy +3 `)
}

func TestTheRestGoesOnWhileHealthCannotBeRead(t *testing.T) {
	t.Parallel()
	d := filled(t)
	exec(t, d, `SELECT penstock.set_health_thresholds('mail', '{"wait_objective": 10}')`)
	exec(t, d, "ALTER FUNCTION penstock.queue_health(text) RENAME TO gone")
	term := turnOn(t, d, 80, 24)
	term.shows(t, "live", "3 waiting", "health cannot be read: read health: ")
	term.showsLike(t, `mail +– +3 `)
	exec(t, d, "ALTER FUNCTION penstock.gone(text) RENAME TO queue_health")
	term.shows(t, "critical mail", "not cannot be read")
	exec(t, d, "ALTER FUNCTION penstock.queue_health(text) RENAME TO gone")
	term.shows(t, "health is ", " old, and cannot be read: ")
	term.showsLike(t, `mail +critical +3 `) // what was read last stays
	client, err := penstock.NewClient(d.Pool, penstock.Config{})
	require.NoError(t, err)
	_, err = client.Enqueue(t.Context(), penstock.NewJob{Queue: "mail", Name: "welcome"})
	require.NoError(t, err)
	term.shows(t, "live", "4 waiting")
}

func TestTheWorstOfEqualIssuesIsTheDatabases(t *testing.T) {
	issue := func(code string, s penstock.HealthStatus) []penstock.HealthIssue {
		return []penstock.HealthIssue{{Code: code, Severity: s}}
	}
	v := vitals{HealthOverview: penstock.HealthOverview{
		Database: penstock.Health{Status: penstock.StatusWarning, Issues: issue("xmin_horizon", penstock.StatusWarning)},
		Queues:   []penstock.Health{{Queue: "a", Status: penstock.StatusWarning, Issues: issue("paused", penstock.StatusWarning)}},
	}}
	where, worst, others := v.worst()
	require.Equal(t, []any{"database", "xmin_horizon", 1}, []any{where, worst.Code, others})
	v.Queues = append(v.Queues, penstock.Health{Queue: "b", Status: penstock.StatusCritical, Issues: issue("overload", penstock.StatusCritical)})
	where, worst, others = v.worst()
	require.Equal(t, []any{"b", "overload", 2}, []any{where, worst.Code, others})
	require.Empty(t, vitals{}.lines(80, time.Now()), "all is well")
}

func TestTheSelectedQueueIsSeenBelowAnIssue(t *testing.T) {
	m := newModel(t.Context(), Options{Width: 80, Height: 24})
	m.health.Database.Issues = []penstock.HealthIssue{{Code: "xmin_horizon", Severity: penstock.StatusWarning}}
	for i := range 30 {
		m.state.queues = append(m.state.queues, queue{name: fmt.Sprintf("q%02d", i)})
	}
	m.move(29)
	require.Contains(t, strings.Join(m.lines(time.Now()), "\n"), "q29")
}

func TestWorkersStayUnderHelp(t *testing.T) {
	m := newModel(t.Context(), Options{})
	m.screen = workersScreen
	m.took(readMsg{state: state{workers: []penstock.WorkerInfo{{ID: 1}, {ID: 2}}}})
	m.move(1)
	m.took(readMsg{state: state{}})
	require.Len(t, m.state.workers, 2)
	m.took(readMsg{state: state{workers: []penstock.WorkerInfo{{ID: 2}, {ID: 3}}}})
	require.Zero(t, m.row, "the selected worker stays selected")
}

func TestAdviceIsCutToCommandsThatFit(t *testing.T) {
	text := "Mend it, then: penstock dlq groups q; penstock dlq redrive q"
	require.Equal(t, text, advice(text, 60))
	require.Equal(t, "penstock dlq groups q; penstock dlq redrive q", advice(text, 59))
	require.Equal(t, "penstock dlq groups q", advice(text, 40), "no command is shown in part")
	require.Equal(t, "Add workers", advice("Add workers", 4))
}

func TestWorkersAreListedAndScrolled(t *testing.T) {
	t.Parallel()
	d := filled(t)
	for _, size := range [][2]int{{80, 24}, {160, 50}} {
		term := turnOn(t, d, size[0], size[1])
		term.shows(t, "live")
		exec(t, d, "TRUNCATE penstock.workers CASCADE")
		term.press(t, "w")
		term.shows(t, "No worker is registered", "esc back")
		exec(t, d, "SELECT penstock.register_worker('{mail,tts}', 'ape' || E'\x1b[2J', 100 + n, 'v1.2.3', 4) FROM generate_series(1, 60) n ORDER BY n")
		exec(t, d, "UPDATE penstock.workers SET beat_at = now() - interval '2 minutes', started_at = now() - interval '3 days' WHERE pid = 101")
		term.shows(t, "workers: 60 with 240 slots, holding 0 jobs", " 101 ", "not  160 ")
		term.showsLike(t, `ape\[2J +101 +v1\.2\.3 +mail, tts +– +4 +3d +2m`)
		term.press(t, "G")
		term.shows(t, " 160 ", "not  101 ")
		term.press(t, "g")
		term.shows(t, " 101 ")
		lines := strings.Split(term.text(), "\n")
		require.LessOrEqual(t, len(lines), size[1])
		for _, line := range lines {
			require.LessOrEqual(t, len([]rune(line)), size[0])
		}
		term.press(t, "?")
		term.shows(t, "the workers, and what they hold")
		term.press(t, "?")
		term.shows(t, " 101 ")
		term.press(t, "\x1b")
		term.shows(t, "TREND")
		term.press(t, "q")
		term.ends(t)
	}
}

func TestNoNameIsCutBesideAnEmptyColumn(t *testing.T) {
	m := newModel(t.Context(), Options{Width: 120, Height: 24})
	long := "notifications-and-invoices-of-the-shop-in-zurich"
	m.state.queues = []queue{{name: long}, {name: "mail"}}
	m.history = map[string][]int64{"mail": {1, 2, 3}}
	screen := strings.Join(m.lines(time.Now()), "\n")
	require.Contains(t, screen, long)
	require.NotContains(t, screen, "RETRYING", "a column without a figure gives way")
	m.state.queues = m.state.queues[1:]
	require.Contains(t, strings.Join(m.lines(time.Now()), "\n"), "RETRYING", "where there is room it stays")
	for _, line := range m.lines(time.Now()) {
		require.LessOrEqual(t, lipgloss.Width(line), 120)
	}
}
