package testkit

import (
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/postgres"
)

func TestMain(m *testing.M) { Main(m) }

func query[T any](t *testing.T, db *DB, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, db.Pool.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	a, b := New(t), New(t)
	for _, db := range []*DB{a, b} {
		_, err := db.Pool.Exec(t.Context(), "CREATE TABLE mine (x int)")
		require.NoError(t, err, "neither sees the other's table")
		require.Equal(t, db.Name, query[string](t, db, "SELECT current_database()"))
	}
	require.NotEqual(t, a.Name, b.Name)
}

func TestACloneHasTheSchemaThatThisBinaryNeeds(t *testing.T) {
	t.Parallel()
	require.NoError(t, postgres.Check(t.Context(), New(t).Pool))
}

func TestManyTestsAtOnceHaveEnoughConnections(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 12 {
		db := New(t)
		for range 10 { // all that the pool may hold, at the same time
			conn, err := db.Pool.Acquire(t.Context())
			require.NoError(t, err)
			wg.Go(conn.Release)
		}
	}
	wg.Wait()
}

func TestADatabaseIsGoneAfterItsTestEvenWhileConnectedTo(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("the test", func(t *testing.T) {
		db := New(t)
		name = db.Name
		straggler, err := pgx.Connect(t.Context(), db.URL)
		require.NoError(t, err)
		require.NoError(t, straggler.Ping(t.Context()))
	})
	require.Zero(t, query[int](t, New(t), "SELECT count(*) FROM pg_database WHERE datname = $1", name))
}

func TestAConnectionBearsItsTestsName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "TestAConnectionBearsItsTestsName", query[string](t, New(t), "SHOW application_name"))
}

func TestAServerOfOnesOwnCrashesAndComesBack(t *testing.T) { // P13
	t.Parallel()
	s := NewServer(t, map[string]string{"full_page_writes": "on"})
	require.Equal(t, "on", query[string](t, s.DB, "SHOW full_page_writes"))
	_, err := s.DB.Pool.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer")
	require.NoError(t, err)

	s.Crash()
	require.Error(t, s.DB.Pool.Ping(t.Context()))
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, 42, query[int](t, s.DB, "SELECT answer FROM kept"), "the same pool reconnects")
}

func BenchmarkNew(b *testing.B) {
	New(b) // starts the server
	for b.Loop() {
		New(b)
	}
}
