package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) {
	for _, time := range []*time.Duration{&limitRowsFor, &limitCommitsFor, &maxCeilingFor, &idleWarmUp} {
		*time /= 10
	}
	testkit.Main(m)
}

// smallLoad is a load that any machine handles in a second; fields that the scenario
// does not use stay zero.
func smallLoad(usual Load) Load {
	l := Load{PayloadBytes: 64}
	if usual.Jobs > 0 {
		l.Jobs = 1500 // more than one batch
	}
	if usual.Concurrency > 0 {
		l.Concurrency = 10
	}
	if usual.Duration > 0 {
		l.Duration = time.Second
	}
	if usual.Callers != nil {
		l.Callers = []int{4, 5}
	}
	if usual.Rates != nil {
		l.Rates = []int{100}
	}
	return l
}

// newTestBench opens a database with the schema, as a run does.
func newTestBench(t *testing.T) *bench {
	t.Helper()
	opts := Options{URL: testkit.New(t).URL, Load: Load{Jobs: 200, Concurrency: 10, PayloadBytes: 64}}
	place, err := openDatabase(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, place.close()) })
	return &bench{opts: opts, load: opts.Load, runDatabase: place, report: &Report{}}
}

func TestEveryScenarioHasFiguresAndLeavesNothingBehind(t *testing.T) {
	for _, s := range Scenarios {
		if s.Name == httpScenario.Name || s.Name == httpWorkScenario.Name {
			continue // they start their own executable; the command's test runs them
		}
		t.Run(s.Name, func(t *testing.T) {
			if s.Name != drainScenario.Name {
				testkit.Long(t)
			}
			db := testkit.New(t)
			stages := map[string]bool{}
			report, err := s.Run(t.Context(), Options{
				URL: db.URL, Load: smallLoad(s.Usual), Progress: func(p Progress) { stages[p.Stage] = true },
			})
			require.NoError(t, err)
			require.NotEmpty(t, report.Rows)
			for _, row := range report.Rows {
				switch {
				case row.Amount != nil:
					require.NotEmpty(t, row.Unit)
				case row.Latency != nil:
					require.Positive(t, row.Samples)
					require.LessOrEqual(t, row.P50, row.P99)
					require.LessOrEqual(t, row.P99, row.Max)
				default:
					require.Positive(t, row.Jobs, row.Name)
					require.Positive(t, row.JobsPerSecond, row.Name)
					require.Positive(t, row.OfLimit, row.Name)
				}
			}
			require.Positive(t, report.Limit.Before.RowsPerSecond)
			require.Positive(t, report.Limit.After.CommitsPerSecond)
			require.Greater(t, len(stages), 2)
			requireGoals(t, &s, report)
			requireNothingLeft(t, db)
		})
	}
}

// requireGoals checks a report against the goals.
func requireGoals(t *testing.T, s *Scenario, report *Report) {
	t.Helper()
	for _, step := range goalSteps {
		if step.scenario.Name != s.Name {
			continue
		}
		goals := step.judge(report)
		require.NotEmpty(t, goals)
		for _, g := range goals {
			require.NotContains(t, []string{g.What, g.Goal, g.Measured, g.Verdict}, "")
		}
	}
}

// requireNothingLeft checks that no database of this process is left, and no job in the
// given one.
func requireNothingLeft(t *testing.T, db *testkit.DB) {
	t.Helper()
	left := 0
	require.NoError(t, db.Pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM penstock.jobs)
		+ (SELECT count(*) FROM pg_database WHERE starts_with(datname, $1))`,
		fmt.Sprintf("%s%d_", databasePrefix, os.Getpid())).Scan(&left))
	require.Zero(t, left)
}

func TestTheJSONIsOneObjectWithTheHeadlineFigures(t *testing.T) {
	for _, c := range []struct {
		name   string
		report Report
		keys   []string
		absent string
	}{
		{"of a rate", Report{Speed: speed(10, time.Second)}, []string{"jobs_per_second"}, "p50_ms"},
		{"of a latency", Report{Latency: newTimes().latency()}, []string{"p50_ms", "p95_ms", "p99_ms", "max_ms"}, "jobs_per_second"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := json.Marshal(c.report)
			require.NoError(t, err)
			var got map[string]any
			require.NoError(t, json.Unmarshal(text, &got))
			for _, key := range append(c.keys, "setup", "limit", "rows") {
				require.Contains(t, got, key)
			}
			require.NotContains(t, got, c.absent)
		})
	}
}

func TestThePrivateServerIsDurable(t *testing.T) {
	report, err := drainScenario.Run(t.Context(), Options{Load: smallLoad(drainScenario.Usual)})
	if errors.Is(err, postgres.ErrNoBinaries) {
		t.Skip("only a server in Docker or of DATABASE_URL is here")
	}
	require.NoError(t, err)
	require.Equal(t, []string{"on", "on", "on"}, []string{
		report.Setup.Fsync, report.Setup.SynchronousCommit, report.Setup.FullPageWrites,
	})
}

func TestAServerElsewhereIsLeftAlone(t *testing.T) {
	_, err := drainScenario.Run(t.Context(), Options{URL: "postgres://u@192.0.2.1/db", Load: smallLoad(drainScenario.Usual)})
	require.ErrorIs(t, err, ErrRemote)
	for host, want := range map[string]bool{
		"/run/postgresql": true, "localhost": true, "127.0.0.1": true, "::1": true, "10.0.0.1": false, "db.example.org": false,
	} {
		require.Equal(t, want, local(host), host)
	}
}

func TestACancelledRunEndsAndDropsItsDatabase(t *testing.T) {
	db := testkit.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	load := smallLoad(steadyScenario.Usual)
	load.Duration = time.Hour
	_, err := steadyScenario.Run(ctx, Options{URL: db.URL, Load: load, Progress: func(p Progress) {
		if p.Stage == "enqueueing and working" {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	requireNothingLeft(t, db)
}

func TestASnapshotThatDidNotLastIsAnError(t *testing.T) {
	b := newTestBench(t)
	require.NoError(t, b.whilePinned(t.Context(), func() error { return nil }))
	err := b.whilePinned(t.Context(), func() error {
		_, err := b.pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle in transaction'`)
		return err
	})
	require.ErrorContains(t, err, "the snapshot did not last")
}
