// Package metrics_test proves the figures: what the verbs tally, what sampling makes
// of it and what the library reads, against the rows of attempts and against sums
// worked out by hand. Jobs are claimed and ended by the functions workers call;
// times are moved in the tables where a wait would be needed.
package metrics_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
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

// fixture is a database, a client of it and one registered worker with four slots
// for queue q that claims and finishes by SQL. Nothing samples but the test.
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
	f.worker = ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['q'], concurrency => 4)")
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

// rows runs a query whose columns are the fields of T.
func rows[T any](t tester, f *fixture, sql string, args ...any) []T {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	found, err := f.Pool.Query(ctx, sql, args...)
	require.NoError(t, err, sql)
	all, err := pgx.CollectRows(found, pgx.RowToStructByPos[T])
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

// enqueue adds n jobs of a name to queue q.
func (f *fixture) enqueue(t tester, name string, n int) {
	t.Helper()
	f.exec(t, `SELECT penstock.enqueue_many('q', array_fill($1::text, ARRAY[$2::integer]), array_fill('{}'::jsonb, ARRAY[$2::integer]))`,
		name, n)
}

type lease struct {
	ID      int64
	Attempt int32
}

func (f *fixture) claim(t tester, n int) []lease {
	t.Helper()
	return rows[lease](t, f, "SELECT job_id, attempt FROM penstock.claim('q', $1, $2)", f.worker, n)
}

// finish ends leases with one outcome each; none: they complete, the short way.
func (f *fixture) finish(t tester, leases []lease, outcomes ...string) {
	t.Helper()
	ids, nths := make([]int64, len(leases)), make([]int32, len(leases))
	for i, l := range leases {
		ids[i], nths[i] = l.ID, l.Attempt
	}
	if outcomes == nil {
		f.exec(t, "SELECT * FROM penstock.finish('q', $1, $2)", ids, nths)
		return
	}
	f.exec(t, "SELECT * FROM penstock.finish('q', $1, $2, $3)", ids, nths, outcomes)
}

// run folds up to so many tallies, and looks at the state of the queues when that is due.
func (f *fixture) run(t tester, nextLook string, maxTallies int) {
	t.Helper()
	f.exec(t, "UPDATE penstock.sampling SET next_look_at = "+nextLook)
	require.NotNil(t, ask[*int](t, f, "SELECT penstock.sample_metrics($1)", maxTallies))
}

// fold folds every tally, and does not look.
func (f *fixture) fold(t tester) {
	t.Helper()
	f.run(t, "clock_timestamp() + interval '1 minute'", 5000)
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.tallies"))
}

// look folds one tally and looks at the state of the queues.
func (f *fixture) look(t tester) {
	t.Helper()
	f.run(t, "'-infinity'", 1)
}

// sample folds every tally and looks at the state of the queues.
func (f *fixture) sample(t tester) {
	t.Helper()
	f.run(t, "'-infinity'", 5000)
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.tallies"))
}
