// Package deadletter_test proves the dead letter queue and job management from outside:
// the library's verbs on real PostgreSQL, with jobs that die by the same functions
// workers call. Times are moved in the tables where a wait would be needed.
package deadletter_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// patience bounds every wait; a test that needs it all has found a block.
const patience = 30 * time.Second

// tester is a testing.T, a testing.B or a rapid.T.
type tester interface {
	require.TestingT
	Helper()
}

// fixture is a database, a client of it and one registered worker that claims and
// finishes by SQL, as any language may.
type fixture struct {
	*testkit.DB
	client *penstock.Client
	worker int64
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{DB: testkit.New(t)}
	client, err := penstock.NewClient(f.Pool, penstock.Config{})
	require.NoError(t, err)
	f.client = client
	f.worker = ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['q'], version => 'v7')")
	return f
}

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// ask runs a query of one value past the client.
func ask[T any](t tester, f *fixture, sql string, args ...any) (v T) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	require.NoError(t, f.Pool.QueryRow(ctx, sql, args...).Scan(&v), sql)
	return v
}

// list runs a query of one column past the client.
func list[T any](t tester, f *fixture, sql string, args ...any) []T {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	rows, err := f.Pool.Query(ctx, sql, args...)
	require.NoError(t, err, sql)
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(t, err, sql)
	return all
}

func (f *fixture) exec(t tester, sql string, args ...any) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	_, err := f.Pool.Exec(ctx, sql, args...)
	require.NoError(t, err, sql)
}

// death is a job that is to die, and its worker's last word. Empty fields: queue q,
// name deploy, outcome dead, class Boom, message "it broke".
type death struct {
	penstock.NewJob
	outcome, class, message string
}

// enqueue adds a job to q unless it names another queue.
func (f *fixture) enqueue(t tester, job penstock.NewJob) int64 {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	id, err := f.client.Enqueue(ctx, filled(job))
	require.NoError(t, err)
	return id
}

func filled(job penstock.NewJob) penstock.NewJob {
	if job.Queue == "" {
		job.Queue = "q"
	}
	if job.Name == "" {
		job.Name = "deploy"
	}
	return job
}

// kill enqueues jobs of one queue, claims them and ends them so that they die;
// returns their ids, which rise. Nothing else may be due in the queue.
func (f *fixture) kill(t tester, deaths ...death) []int64 {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	jobs := make([]penstock.NewJob, len(deaths))
	for i, d := range deaths {
		jobs[i] = filled(d.NewJob)
	}
	ids, err := f.client.EnqueueMany(ctx, jobs)
	require.NoError(t, err)
	require.ElementsMatch(t, ids, f.claim(t, jobs[0].Queue, len(ids)))
	f.end(t, jobs[0].Queue, ids, deaths)
	require.Equal(t, len(ids), ask[int](t, f, "SELECT count(*) FROM penstock.dead_jobs WHERE job_id = ANY ($1)", ids))
	return ids
}

// end says the deaths of running jobs.
func (f *fixture) end(t tester, queue string, ids []int64, deaths []death) {
	t.Helper()
	var outcomes, classes, messages []string
	for _, d := range deaths {
		outcomes = append(outcomes, or(d.outcome, "dead"))
		classes = append(classes, or(d.class, "Boom"))
		messages = append(messages, or(d.message, "it broke"))
	}
	f.exec(t, `SELECT penstock.finish($1, $2, ARRAY(SELECT r.attempt FROM unnest($2::bigint[]) WITH ORDINALITY u(id, nth)
		JOIN penstock.running r ON r.job_id = u.id ORDER BY u.nth), $3, $4, $5)`, queue, ids, outcomes, classes, messages)
}

func or(text, usual string) string {
	if text == "" {
		return usual
	}
	return text
}

// claim leases up to n due jobs of a queue and returns their ids in order.
func (f *fixture) claim(t tester, queue string, n int) []int64 {
	t.Helper()
	return list[int64](t, f, "SELECT job_id FROM penstock.claim($1, $2, $3)", queue, f.worker, n)
}

// finish ends one running attempt with an outcome.
func (f *fixture) finish(t tester, id int64, outcome string) {
	t.Helper()
	f.end(t, ask[string](t, f, "SELECT queue FROM penstock.running WHERE job_id = $1", id), []int64{id}, []death{{outcome: outcome}})
}

// died moves deaths into the past.
func (f *fixture) died(t tester, ago time.Duration, ids ...int64) {
	t.Helper()
	f.exec(t, "UPDATE penstock.dead_jobs SET failed_at = failed_at - $1::interval WHERE job_id = ANY ($2)", ago, ids)
}

// entry is the id of the first death of a job that was claimed once.
func entry(id int64) string { return "dlq_" + strconv.FormatInt(id, 10) + "_1" }

func (f *fixture) job(t tester, id int64) *penstock.JobInfo {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	info, err := f.client.Job(ctx, id)
	require.NoError(t, err)
	return info
}

func (f *fixture) state(t tester, id int64) penstock.State {
	t.Helper()
	return f.job(t, id).State
}

// dead reads the whole dead letter queue that a query finds, page by page.
func (f *fixture) dead(t tester, q penstock.DeadQuery) []int64 {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	return walk(t, func(cursor string) (penstock.Page[penstock.DeadJob], error) {
		q.Cursor = cursor
		return f.client.DLQ.List(ctx, q)
	}, func(d penstock.DeadJob) int64 { return d.JobID })
}

// walk follows a list's cursors to its end.
func walk[T any](t tester, read func(cursor string) (penstock.Page[T], error), id func(T) int64) []int64 {
	t.Helper()
	all := []int64{}
	for cursor := ""; ; {
		page, err := read(cursor)
		require.NoError(t, err)
		for _, item := range page.Items {
			all = append(all, id(item))
		}
		if page.Next == "" {
			return all
		}
		require.NotEqual(t, cursor, page.Next, "a cursor goes on")
		cursor = page.Next
	}
}

// refused checks that err is a refusal that names the argument and says these words.
func refused(t tester, err error, argument string, words ...string) {
	t.Helper()
	var refusal *penstock.ArgumentError
	require.ErrorAs(t, err, &refusal)
	require.ErrorIs(t, err, penstock.ErrInvalidArgument)
	require.Equal(t, argument, refusal.Argument, refusal.Message)
	for _, word := range words {
		require.Contains(t, refusal.Message, word)
	}
}

// work runs a worker of queue q until the test or the returned stop ends it.
func (f *fixture) work(t testing.TB, cfg penstock.WorkerConfig, register func(*penstock.Worker)) (stop func()) {
	t.Helper()
	if cfg.Queues == nil {
		cfg.Queues = map[string]penstock.QueueConfig{"q": {}}
	}
	w, err := penstock.NewWorker(f.client, cfg)
	require.NoError(t, err)
	register(w)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, next(t, done))
	})
	t.Cleanup(stop)
	return stop
}

// next is what a channel brings within patience.
func next[T any](t testing.TB, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		require.FailNow(t, "nothing came within patience")
	}
	return v
}

// together runs n callers at once and waits for all.
func together(n int, do func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	all.Wait()
}

func sorted(ids []int64) []int64 {
	rising := slices.Clone(ids)
	slices.Sort(rising)
	return rising
}

func reversed(ids []int64) []int64 {
	turned := slices.Clone(ids)
	slices.Reverse(turned)
	return turned
}

// repeat makes n deaths of one kind, numbered in their data.
func repeat(n int, d death) []death {
	all := make([]death, n)
	for i := range all {
		all[i] = d
		if d.Data == nil {
			all[i].Data = map[string]int{"n": i}
		}
	}
	return all
}

func ptr[T any](v T) *T { return &v }

func short(text string, n int) string { return strings.Repeat(text, n) }

// refusedSQL is refused for a statement that did not go through the library.
func refusedSQL(t tester, err error, argument string) {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "PN400", pg.Code, pg.Message)
	require.Equal(t, argument, pg.ColumnName, pg.Message)
}
