package sqltest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// patience bounds every statement; a test that needs it all has found a block.
const patience = 30 * time.Second

// querier is a pool, a connection or a transaction.
type querier interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	Query(context.Context, string, ...any) (pgx.Rows, error)
}

// tester is a testing.T or a rapid.T.
type tester interface {
	require.TestingT
	Helper()
}

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// try runs a statement and returns its error.
func try(q querier, sql string, args ...any) error {
	ctx, cancel := soon()
	defer cancel()
	_, err := q.Exec(ctx, sql, args...)
	return err
}

// do runs a statement that has to succeed and returns the rows it touched.
func do(t tester, q querier, sql string, args ...any) int64 {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	tag, err := q.Exec(ctx, sql, args...)
	require.NoError(t, err, sql)
	return tag.RowsAffected()
}

// list returns the first column of every row.
func list[T any](t tester, q querier, sql string, args ...any) []T {
	t.Helper()
	return rows(t, q, pgx.RowTo[T], sql, args...)
}

// rows returns every row as of makes it.
func rows[T any](t tester, q querier, of pgx.RowToFunc[T], sql string, args ...any) []T {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	found, err := q.Query(ctx, sql, args...)
	require.NoError(t, err, sql)
	all, err := pgx.CollectRows(found, of)
	require.NoError(t, err, sql)
	return all
}

// one returns the only column of the only row.
func one[T any](t tester, q querier, sql string, args ...any) T {
	t.Helper()
	all := list[T](t, q, sql, args...)
	require.Len(t, all, 1, sql)
	return all[0]
}

// session is one connection of the test's own, closed with it.
func session(t *testing.T, db *testkit.DB) *pgx.Conn {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	conn, err := pgx.Connect(ctx, db.URL)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := soon()
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// begin opens a transaction that the test's end rolls back, unless it ended before.
func begin(t *testing.T, q interface {
	Begin(context.Context) (pgx.Tx, error)
},
) pgx.Tx {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	tx, err := q.Begin(ctx)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := soon()
		defer cancel()
		_ = tx.Rollback(ctx)
	})
	return tx
}

func commit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	require.NoError(t, tx.Commit(ctx))
}

// refused checks that err is a refusal: its SQLSTATE, and the argument it names.
func refused(t tester, err error, code, argument string) {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, code, pg.Code, pg.Message)
	require.Equal(t, argument, pg.ColumnName, pg.Message)
}

// worker registers one for the queue and returns its id.
func worker(t tester, q querier, queue string) int64 {
	t.Helper()
	return one[int64](t, q, "SELECT penstock.register_worker(ARRAY[$1])", queue)
}

// lease is what a claim hands out, as far as tests look.
type lease struct {
	ID      int64
	Attempt int32
}

// claim leases up to n jobs of a queue.
func claim(t tester, q querier, queue string, worker int64, n int) []lease {
	t.Helper()
	return rows(t, q, pgx.RowToStructByPos[lease],
		"SELECT job_id, attempt FROM penstock.claim($1, $2, $3)", queue, worker, n)
}

// ids lists the jobs of leases in their order.
func ids(leases []lease) []int64 {
	var all []int64
	for _, l := range leases {
		all = append(all, l.ID)
	}
	return all
}

// everything is the content of every table as text, to prove that nothing changed.
func everything(t tester, q querier) string {
	t.Helper()
	var all strings.Builder
	for _, table := range []string{
		"jobs", "pending", "running", "attempts", "dead_jobs", "idempotency_keys", "workers", "queues", "partitions",
	} {
		all.WriteString(table + "\n" + one[string](t, q,
			"SELECT coalesce(string_agg(r::text, E'\n' ORDER BY r::text), '') FROM penstock."+table+" r") + "\n")
	}
	return all.String()
}

var (
	_ querier = (*pgxpool.Pool)(nil)
	_ querier = (*pgx.Conn)(nil)
	_ querier = pgx.Tx(nil)
)
