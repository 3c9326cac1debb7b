package worker_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// fixture is a database, a client of it, and what its workers report.
type fixture struct {
	*testkit.DB
	pool    *pgxpool.Pool // the client's
	client  *penstock.Client
	claimed *record[claim]
	started *record[penstock.StartEvent]
	ended   *record[penstock.EndEvent]
	flushed *record[penstock.FlushEvent]
	buried  *record[penstock.BuryEvent]
}

// claim is a claim with the moment it was reported, by the monotonic clock.
type claim struct {
	penstock.ClaimEvent
	at time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return fixtureOn(t, testkit.New(t))
}

// fixtureOn makes a fixture of a database. configure may change how the client
// and the workers connect; DB.Pool, which the tests look with, is not affected.
func fixtureOn(t *testing.T, d *testkit.DB, configure ...func(*pgxpool.Config)) *fixture {
	t.Helper()
	f := &fixture{
		DB: d, claimed: newRecord[claim](), started: newRecord[penstock.StartEvent](),
		ended: newRecord[penstock.EndEvent](), flushed: newRecord[penstock.FlushEvent](),
		buried: newRecord[penstock.BuryEvent](),
	}
	pool := d.Pool
	if len(configure) > 0 {
		cfg := d.Pool.Config()
		for _, change := range configure {
			change(cfg)
		}
		var err error
		pool, err = pgxpool.NewWithConfig(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
	}
	client, err := penstock.NewClient(pool, penstock.Config{
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Hooks: penstock.Hooks{
			Claimed: func(e penstock.ClaimEvent) { f.claimed.add(claim{e, time.Now()}) },
			Started: f.started.add, Ended: f.ended.add, Flushed: f.flushed.add, Buried: f.buried.add,
		},
	})
	require.NoError(t, err)
	f.pool, f.client = pool, client
	return f
}

// running is a worker that runs in this process.
type running struct {
	*penstock.Worker
	stop func() // ends its context and waits for Run to return; may be repeated
}

// work runs a worker with the handlers that register adds, until the test ends or
// stop is called. Without queues it serves "q" with 10 handlers.
func (f *fixture) work(t *testing.T, cfg penstock.WorkerConfig, register func(*penstock.Worker)) running {
	t.Helper()
	if cfg.Queues == nil {
		cfg.Queues = map[string]penstock.QueueConfig{"q": {}}
	}
	w, err := penstock.NewWorker(f.client, cfg)
	require.NoError(t, err)
	if register != nil {
		register(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, await(t, "the end of Run", done))
	})
	t.Cleanup(stop)
	return running{w, stop}
}

// sweep runs a worker that only looks after the others: its queue stays empty.
func (f *fixture) sweep(t *testing.T, lease time.Duration) running {
	t.Helper()
	return f.work(t, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"nothing": {}}, Lease: lease,
	}, nil)
}

func (f *fixture) enqueue(t *testing.T, job penstock.NewJob) int64 {
	t.Helper()
	if job.Queue == "" {
		job.Queue = "q"
	}
	id, err := f.client.Enqueue(t.Context(), job)
	require.NoError(t, err)
	return id
}

// end waits for the nth end that this process reports of a job.
func (f *fixture) end(t *testing.T, id int64, nth int) penstock.EndEvent {
	t.Helper()
	return f.ended.await(t, "the end of an attempt", nth, func(e penstock.EndEvent) bool { return e.JobID == id })[nth-1]
}

func (f *fixture) job(t *testing.T, id int64) *penstock.JobInfo {
	t.Helper()
	info, err := f.client.Job(t.Context(), id)
	require.NoError(t, err)
	return info
}

// outcomes tells how a job's attempts ended, oldest first: "lost completed".
func (f *fixture) outcomes(t *testing.T, id int64) string {
	t.Helper()
	var words []string
	for _, a := range f.job(t, id).Attempts {
		words = append(words, a.Outcome)
	}
	return strings.Join(words, " ")
}

// ask runs a query of one value past the client.
func ask[T any](t *testing.T, f *fixture, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, f.Pool.QueryRow(context.Background(), sql, args...).Scan(&v), sql)
	return v
}

func (f *fixture) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := f.Pool.Exec(context.Background(), sql, args...)
	require.NoError(t, err, sql)
}

// until waits for something that only Postgres knows.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, patience, 10*time.Millisecond, what)
}

// finished checks P1 and P8 over the whole database: every job has finished, and
// has exactly one completed attempt.
func (f *fixture) finished(t *testing.T, jobs int) {
	t.Helper()
	require.Equal(t, jobs, ask[int](t, f, `SELECT count(*) FROM penstock.job_states WHERE state = 'completed'`))
	require.Zero(t, ask[int](t, f, `SELECT count(*) FROM penstock.job_states WHERE state IS DISTINCT FROM 'completed'`))
	require.Equal(t, jobs, ask[int](t, f, `SELECT count(*) FROM penstock.attempts WHERE outcome = 'completed'`))
}
