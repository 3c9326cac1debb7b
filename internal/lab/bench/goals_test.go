package bench

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

func TestVerdicts(t *testing.T) {
	rate := func(perSecond, ceiling float64) Row {
		return Row{Speed: &Speed{JobsPerSecond: perSecond}, Ceiling: ceiling, OfCeiling: perSecond / ceiling}
	}
	for _, c := range []struct {
		name, want string
		goal       Goal
	}{
		{"a rate that is reached", Met, speedGoal("", rate(100_000, 400_000), 100_000)},
		{"a slow machine, most of the ceiling", MetByRatio, speedGoal("", rate(60_000, 100_000), 100_000)},
		{"less than most of it", Missed, speedGoal("", rate(59_000, 100_000), 100_000)},
		{"both latencies at their bounds", Met, latencyGoal("", Row{Latency: &Latency{P50: 2, P99: 5}}, 2, 5)},
		{"a slow tail", Missed, latencyGoal("", Row{Latency: &Latency{P50: 1, P99: 5.1}}, 2, 5)},
		{"a slow middle", Missed, latencyGoal("", Row{Latency: &Latency{P50: 2.1, P99: 3}}, 2, 5)},
		{"at least", Met, atLeast("", 90, 90, "%")},
		{"not at least", Missed, atLeast("", 89.9, 90, "%")},
		{"at most", Met, atMost("", 15, 15, "%")},
		{"not at most", Missed, atMost("", 15.1, 15, "%")},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, c.goal.Verdict) })
	}
}

func TestAPeerIsMeasuredInTurnsOnADatabaseOfItsOwn(t *testing.T) {
	db := testkit.New(t)
	compare := func(script string) (*Report, error) {
		folder := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(folder, "fake"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "fake", "peer.sh"), []byte(script), 0o600))
		fake := Peer{Name: "fake", Folder: "fake", needs: "sh", prepare: [][]string{{"touch", "ready"}}, command: []string{"sh", "peer.sh"}}
		absent := Peer{Name: "absent", Folder: "absent", needs: "no-such-program-here"}
		return Compare(t.Context(), Options{URL: db.URL, Load: Load{Jobs: 1500, Concurrency: 10, PayloadBytes: 64}},
			Comparison{Peers: []Peer{absent, fake}, Folder: folder, Rounds: 2})
	}
	report, err := compare(`[ -e ready ] && [ "$2 $3" = "1500 64" ] && case $1 in */` + databasePrefix + `*) ;; *) exit 3 ;; esac
		echo '{"peer":"Fake 1.0","enqueued_per_second":100,"drained_per_second":200,"transactions_per_second":50}'`)
	require.NoError(t, err)
	require.Len(t, report.Rows, 12)
	for i, rate := range []float64{100, 200, 50} {
		require.InDelta(t, rate, report.Rows[3+i].JobsPerSecond, 1)
	}
	require.Contains(t, report.Findings[0], "absent was left out")
	require.Regexp(t, `^Against Fake 1\.0: drain [\d.]+ × \([\d.]+ to [\d.]+ in 2 rounds\).* a transaction a job from 16 writers [\d.]+ ×`, report.Findings[1])
	requireNothingLeft(t, db)

	_, err = compare(`echo '{"peer":"Fake 1.0","enqueued_per_second":100,"drained_per_second":200}'`)
	require.ErrorContains(t, err, "did not print its figures")
	_, err = compare("echo not json")
	require.ErrorContains(t, err, "fake did not print its figures: not json")
	_, err = compare("echo it broke >&2; exit 1")
	require.ErrorContains(t, err, "it broke")
	requireNothingLeft(t, db)
}

func TestAStepsLoadReplacesTheUsualOne(t *testing.T) {
	usual := Load{Jobs: 10, Concurrency: 3, Duration: time.Second, Callers: []int{1}}
	require.Equal(t, usual, Load{}.withDefaults(usual))
	require.Equal(t, Load{Jobs: 7, Concurrency: 3, Duration: time.Minute, Callers: []int{1}},
		Load{Jobs: 7, Duration: time.Minute}.withDefaults(usual))
}

func TestAnEndedContextStopsTheGoals(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := Goals(ctx, Options{URL: testkit.New(t).URL}, false)
	require.ErrorIs(t, err, context.Canceled)
}
