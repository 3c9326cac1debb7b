// Package reports_test proves what those rely on who look at Penstock from SQL: that
// verify finds whatever does not add up and nothing else, that the views tell what
// happened, and that every example of the documents runs and answers as they say.
package reports_test

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

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// fixture is a database and a client of it.
type fixture struct {
	*testkit.DB
	client *penstock.Client
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{DB: testkit.New(t)}
	client, err := penstock.NewClient(f.Pool, penstock.Config{})
	require.NoError(t, err)
	f.client = client
	return f
}

// exec runs statements; several only without arguments.
func (f *fixture) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	_, err := f.Pool.Exec(ctx, sql, args...)
	require.NoError(t, err, sql)
}

// ask runs a query of one value.
func ask[T any](t testing.TB, f *fixture, sql string, args ...any) (v T) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	require.NoError(t, f.Pool.QueryRow(ctx, sql, args...).Scan(&v), sql)
	return v
}

// list runs a query of one column.
func list[T any](t testing.TB, f *fixture, sql string, args ...any) []T {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	rows, err := f.Pool.Query(ctx, sql, args...)
	require.NoError(t, err, sql)
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(t, err, sql)
	return all
}
