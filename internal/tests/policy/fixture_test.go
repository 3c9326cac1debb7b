package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// fixture is a database, a client of it and the ends its workers report.
type fixture struct {
	*testkit.DB
	client *penstock.Client
	ended  chan penstock.EndEvent
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{DB: testkit.New(t), ended: make(chan penstock.EndEvent, 10_000)}
	client, err := penstock.NewClient(f.Pool, penstock.Config{
		Hooks: penstock.Hooks{Ended: func(e penstock.EndEvent) { f.ended <- e }},
	})
	require.NoError(t, err)
	f.client = client
	return f
}

func (f *fixture) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := f.Pool.Exec(context.Background(), statement, args...)
	require.NoError(t, err, statement)
}

// one is the single value a query answers.
func one[T any](t testing.TB, f *fixture, query string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, f.Pool.QueryRow(context.Background(), query, args...).Scan(&v), query)
	return v
}

// column is the first column of a query's answer.
func column[T any](t testing.TB, f *fixture, query string, args ...any) []T {
	t.Helper()
	rows, err := f.Pool.Query(context.Background(), query, args...)
	require.NoError(t, err, query)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(t, err, query)
	return values
}

func (f *fixture) enqueue(t testing.TB, job penstock.NewJob) int64 {
	t.Helper()
	id, err := f.client.Enqueue(context.Background(), job)
	require.NoError(t, err)
	return id
}

// enqueueN adds n jobs of a queue and name in one call, so that their ids ascend.
func (f *fixture) enqueueN(t testing.TB, n int, job penstock.NewJob) []int64 {
	t.Helper()
	jobs := make([]penstock.NewJob, n)
	for i := range jobs {
		jobs[i] = job
	}
	ids, err := f.client.EnqueueMany(context.Background(), jobs)
	require.NoError(t, err)
	return ids
}

// lease is a claimed job.
type lease struct {
	JobID    int64
	Name     string
	Attempt  int32
	Priority int16
}

// register makes a worker of the SQL functions, which never beats.
func (f *fixture) register(t testing.TB) int64 {
	t.Helper()
	return one[int64](t, f, `SELECT penstock.register_worker('{q}')`)
}

func (f *fixture) claim(t testing.TB, worker int64, queue string, n int) []lease {
	t.Helper()
	rows, err := f.Pool.Query(context.Background(),
		`SELECT c.job_id, c.name, c.attempt, c.priority FROM penstock.claim($1, $2, $3) c`, queue, worker, n)
	require.NoError(t, err)
	leases, err := pgx.CollectRows(rows, pgx.RowToStructByPos[lease])
	require.NoError(t, err)
	return leases
}

func ids(leases []lease) []int64 {
	ids := make([]int64, len(leases))
	for i, l := range leases {
		ids[i] = l.JobID
	}
	return ids
}

// end finishes attempts, all alike, and returns what became of the jobs, in order.
// byPolicy leaves the delay to the policy.
func (f *fixture) end(t testing.TB, queue, outcome, class string, delay time.Duration, leases ...lease) []string {
	t.Helper()
	jobs, attempts := make([]int64, len(leases)), make([]int32, len(leases))
	outcomes, classes := make([]string, len(leases)), make([]string, len(leases))
	delays := make([]time.Duration, len(leases))
	for i, l := range leases {
		jobs[i], attempts[i], outcomes[i], classes[i], delays[i] = l.JobID, l.Attempt, outcome, class, delay
	}
	return column[string](t, f, `SELECT f.state FROM penstock.finish($1, $2, $3, $4, $5, delays => $6) f ORDER BY f.job_id`,
		queue, jobs, attempts, outcomes, classes, delays)
}

// byPolicy is negative in microseconds, which is what Postgres counts.
const byPolicy = -time.Second

func (f *fixture) fail(t testing.TB, queue string, leases ...lease) []string {
	t.Helper()
	return f.end(t, queue, "failed", "Oops", byPolicy, leases...)
}

func (f *fixture) complete(t testing.TB, queue string, leases ...lease) {
	t.Helper()
	for _, l := range leases {
		f.exec(t, `SELECT penstock.complete($1, $2, $3)`, queue, l.JobID, l.Attempt)
	}
}

// failNext makes the queue's next job due, claims it and fails it; it returns what
// became of it and how long it waits, to the microsecond.
func (f *fixture) failNext(t testing.TB, queue, class string) (string, time.Duration) {
	t.Helper()
	f.exec(t, `UPDATE penstock.pending SET run_at = now() WHERE queue = $1`, queue)
	leases := f.claim(t, f.register(t), queue, 1)
	require.Len(t, leases, 1)
	states := f.end(t, queue, "failed", class, byPolicy, leases...)
	require.Len(t, states, 1)
	return states[0], f.wait(t, leases[0].JobID)
}

// wait is how long a job waits since its last attempt ended; negative when it does not.
func (f *fixture) wait(t testing.TB, id int64) time.Duration {
	t.Helper()
	return one[time.Duration](t, f, `SELECT coalesce((SELECT p.run_at - a.finished_at FROM penstock.pending p
		JOIN penstock.attempts a ON a.job_id = p.job_id AND a.attempt = p.attempt WHERE p.job_id = $1), '-1 second')`, id)
}

// policy sets a policy of a queue from JSON.
func (f *fixture) policy(t testing.TB, queue, name, fields string) {
	t.Helper()
	f.exec(t, `SELECT penstock.set_policy($1, $2, $3)`, queue, name, json.RawMessage(fields))
}

// work runs a worker of one queue until the test ends or stop is called.
func (f *fixture) work(t *testing.T, queue string, register func(*penstock.Worker)) (stop func()) {
	t.Helper()
	w, err := penstock.NewWorker(f.client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{queue: {}}, ShutdownTimeout: time.Second,
	})
	require.NoError(t, err)
	register(w)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx); close(done) }()
	stop = func() {
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(stop)
	return stop
}

func (f *fixture) nextEnd(t *testing.T) penstock.EndEvent {
	t.Helper()
	return next(t, f.ended)
}

func next[T any](t *testing.T, events <-chan T) T {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(time.Minute):
		require.FailNow(t, fmt.Sprintf("no %T within a minute", *new(T)))
		panic("unreachable")
	}
}

func ptr[T any](v T) *T { return &v }
