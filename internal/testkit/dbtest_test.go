package testkit

import (
	"context"
	"errors"
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

// given is a source on a server that is not its own, as with DATABASE_URL.
func given(t *testing.T, url string) *source {
	t.Setenv("DATABASE_URL", url)
	return &source{}
}

func TestAGivenServerIsLeftAsItWasFound(t *testing.T) {
	server := NewServer(t, nil)
	for name, url := range map[string]string{
		"by a URL":         server.URL("postgres"),
		"by keyword pairs": "user=postgres dbname=postgres host=" + socketDir(t, server),
	} {
		t.Run(name, func(t *testing.T) {
			s := given(t, url)
			clone, err := s.clone(t.Context())
			require.NoError(t, err)
			pool, err := postgres.Open(t.Context(), s.url(clone))
			require.NoError(t, err)
			require.NoError(t, postgres.Check(t.Context(), pool))
			pool.Close()
			require.NoError(t, s.drop(t.Context(), clone))
			require.NoError(t, s.close())
			require.Equal(t, []string{"postgres", "template0", "template1"},
				query[[]string](t, server.DB, "SELECT array_agg(datname::text ORDER BY datname) FROM pg_database"))
		})
	}
}

func socketDir(t *testing.T, s *Server) string {
	t.Helper()
	return query[string](t, s.DB, "SELECT trim(both '\"' from current_setting('unix_socket_directories'))")
}

func TestAKilledRunsDatabasesAreDroppedAndALivingRunsKept(t *testing.T) {
	server := NewServer(t, nil)
	const killed = namePrefix + "aaaaaaaaaa_7"
	_, err := server.DB.Pool.Exec(t.Context(), "CREATE DATABASE "+killed)
	require.NoError(t, err)
	living := given(t, server.URL("postgres"))
	clone, err := living.clone(t.Context())
	require.NoError(t, err)

	next := given(t, server.URL("postgres"))
	require.NoError(t, next.ready(t.Context()))
	has := func(name string) bool {
		return query[bool](t, server.DB, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name)
	}
	require.False(t, has(killed))
	require.True(t, has(clone))
	require.True(t, has(living.template()))

	require.NoError(t, living.drop(t.Context(), clone))
	require.NoError(t, errors.Join(living.close(), next.close()))
}

func TestAMachineWithoutAnySourceIsToldWhatToInstall(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	nothing := postgres.Options{Temporary: true, Binaries: t.TempDir()}
	_, _, err := findServer(t.Context(), nothing, func(context.Context) (string, stopFunc, error) {
		return "", nil, errors.New("no daemon answers")
	})
	require.ErrorIs(t, err, postgres.ErrNoBinaries)
	require.ErrorContains(t, err, "apt-get install postgresql")
	require.ErrorContains(t, err, "start Docker (no daemon answers)")

	base, _, err := findServer(t.Context(), nothing, func(context.Context) (string, stopFunc, error) {
		return "postgres://in.a.container/test", nil, nil
	})
	require.NoError(t, err)
	require.Equal(t, "postgres://in.a.container/test", base, "Docker is the last resort")
}

func BenchmarkNew(b *testing.B) {
	New(b) // starts the server
	for b.Loop() {
		New(b)
	}
}
