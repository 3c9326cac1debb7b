package testdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/postgres"
)

const prefix = "penstock_test_"

// private is the server of these tests, which run one after another and leave nothing on
// it. None of them may take the one that other packages share.
var private *postgres.Server

func TestMain(m *testing.M) {
	for _, v := range []string{"DATABASE_URL", ServerVar} {
		_ = os.Unsetenv(v)
	}
	var err error
	if private, err = postgres.Start(context.Background(), postgres.Options{Temporary: true, Parent: postgres.InMemory()}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := private.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// connect returns a pool on the private server.
func connect(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), private.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func query[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

func databases(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return query[[]string](t, pool, "SELECT array_agg(datname::text ORDER BY datname) FROM pg_database")
}

// create makes a database and proves that it has the schema.
func create(t *testing.T, s *Source) Database {
	t.Helper()
	made, err := s.Create(t.Context())
	require.NoError(t, err)
	pool, err := postgres.Open(t.Context(), made.URL)
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, postgres.Check(t.Context(), pool))
	return made
}

func TestAGivenServerIsLeftAsItWasFound(t *testing.T) {
	pool := connect(t)
	socket := query[string](t, pool, "SELECT trim(both '\"' from current_setting('unix_socket_directories'))")
	for name, url := range map[string]string{
		"by a URL":         private.URL("postgres"),
		"by keyword pairs": "user=postgres dbname=postgres host=" + socket,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DATABASE_URL", url)
			s := &Source{Prefix: prefix}
			made := create(t, s)
			require.NoError(t, s.Drop(t.Context(), made.Name))
			require.NoError(t, s.Close(t.Context()))
			require.Equal(t, []string{"postgres", "template0", "template1"}, databases(t, pool))
		})
	}
}

func TestTheDatabasesOfAKilledRunAreDroppedAndThoseOfALivingRunKept(t *testing.T) {
	pool := connect(t)
	t.Setenv("DATABASE_URL", private.URL("postgres"))
	const killed = prefix + "aaaaaaaaaa_7"
	_, err := pool.Exec(t.Context(), "CREATE DATABASE "+killed)
	require.NoError(t, err)
	living, next := &Source{Prefix: prefix}, &Source{Prefix: prefix}
	made := create(t, living)

	other := create(t, next)
	require.NotContains(t, databases(t, pool), killed)
	require.Contains(t, databases(t, pool), made.Name)
	require.Contains(t, databases(t, pool), living.template)

	require.NoError(t, errors.Join(living.Drop(t.Context(), made.Name), next.Drop(t.Context(), other.Name),
		living.Close(t.Context()), next.Close(t.Context())))
}

func TestSourcesOnASharedServerMigrateOneTemplate(t *testing.T) {
	pool := connect(t)
	t.Setenv("DATABASE_URL", "")
	t.Setenv(ServerVar, private.URL("postgres"))
	var sources [3]Source
	var group sync.WaitGroup
	for i := range sources {
		sources[i].Prefix = prefix
		group.Go(func() {
			made, err := sources[i].Create(t.Context())
			if err == nil {
				err = sources[i].Drop(t.Context(), made.Name)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.Equal(t, []string{sources[0].template, "postgres", "template0", "template1"}, databases(t, pool))

	prepared := &Source{Prefix: prefix, Prepare: []func(context.Context, string) error{
		func(ctx context.Context, url string) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			_, err = conn.Exec(ctx, "CREATE TABLE accounts ()")
			return errors.Join(err, conn.Close(ctx))
		},
	}}
	made := create(t, prepared)
	require.NotEqual(t, sources[0].template, prepared.template, "what an application adds is not for others")

	require.NoError(t, prepared.Drop(t.Context(), made.Name))
	for i := range sources {
		require.NoError(t, sources[i].Close(t.Context()))
	}
	require.NoError(t, prepared.Close(t.Context()))
	require.Contains(t, databases(t, pool), sources[0].template, "it serves the test binaries still to come")
	_, err := pool.Exec(t.Context(), "DROP DATABASE "+sources[0].template)
	require.NoError(t, err, "the server was not theirs to stop")
}

func TestAMachineWithoutPostgresAndDockerIsToldWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, _, err := startFrom(t.Context(), postgres.Options{Temporary: true, Binaries: t.TempDir()})
	require.ErrorIs(t, err, postgres.ErrNoBinaries)
	require.ErrorContains(t, err, "apt-get install postgresql")
	require.ErrorContains(t, err, "or start Docker (docker version: ")
}

func TestTheHashChangesWithANameOrAContent(t *testing.T) {
	t.Parallel()
	require.Len(t, strings.Fields(hash(t, "a.sql", "x")), 1)
	require.Equal(t, hash(t, "a.sql", "x"), hash(t, "a.sql", "x"))
	require.NotEqual(t, hash(t, "a.sql", "x"), hash(t, "a.sql", "y"))
	require.NotEqual(t, hash(t, "a.sql", "x"), hash(t, "b.sql", "x"))
}
