package top

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/dbtest"
)

// filled is a database with 3 jobs waiting in mail, 12 scheduled in tts, and one of
// deploy dead of an error that tries to move a terminal's cursor.
func filled(t *testing.T) *dbtest.DB {
	t.Helper()
	d := dbtest.New(t)
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

func TestTheScreenShowsEveryQueueAndFitsTheTerminal(t *testing.T) {
	t.Parallel()
	d := filled(t)
	for _, size := range [][2]int{{80, 24}, {160, 50}} {
		term := turnOn(t, d, size[0], size[1])
		term.shows(t, "penstock top", "db.example/app", "live", "3 waiting", "1 dead", "q quit")
		require.Regexp(t, `mail +3 `, term.line(t, "mail"))
		require.Regexp(t, `deploy +– +– +1 `, term.line(t, "deploy "))
		if size[0] >= wide {
			term.shows(t, "12 scheduled")
			require.Regexp(t, `tts .* 12 +–`, term.line(t, "tts"))
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
		s, err := term.client.QueueSettings(t.Context(), "mail")
		require.NoError(t, err)
		return s.Paused
	}
	term.press(t, "p")
	term.shows(t, "mail is paused", "mail (paused)", "1 paused")
	require.True(t, paused())
	term.press(t, "p")
	term.shows(t, "mail is resumed", "not (paused)")
	require.False(t, paused())
	log, err := term.client.AuditLog(t.Context(), "mail", 10, "")
	require.NoError(t, err)
	require.Equal(t, "ada", log.Items[0].Actor)
}

func TestADeadJobIsRedrivenOnlyAfterAYes(t *testing.T) { // P11
	t.Parallel()
	term := turnOn(t, filled(t), 80, 24)
	dead := func() int64 {
		stats, err := term.client.DeadStats(t.Context(), "deploy")
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
	term.shows(t, "left as it was")
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

func TestSparksAreScaledToTheirGreatest(t *testing.T) {
	require.Equal(t, " ▁▁▅█", spark([]int64{9, 1, 50, 99}, 5))
	require.Equal(t, "     ", spark(nil, 5))
	require.Equal(t, "██", spark([]int64{1, 1, 7, 7}, 2), "what is no longer shown does not count")
	require.Equal(t, "    ", spark([]int64{0, 0}, 4))
}
