package postgres

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// testServer serves the tests that need no server of their own.
var testServer *Server

// The test binary is also the child process of some tests: childJob says what to do.
const childJob = "PENSTOCK_TEST_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childJob); job != "" {
		runChild(job)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if testServer, err = Start(ctx, Options{Temporary: true, Parent: InMemory()}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err = testServer.Stop(ctx); err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var databases atomic.Int64

// newDatabase returns a pool on an empty database of the test's own.
func newDatabase(t *testing.T, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	require.NoError(t, testServer.createDatabase(t.Context(), name))
	pool, err := Open(t.Context(), testServer.URL(name), configure...)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func query[T any](t *testing.T, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, sql string, args ...any,
) (v T) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

func run(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// newRole makes a role that may connect and nothing else, and a pool of its own on
// the same database. Roles belong to the server, so each has a name of its own.
func newRole(t *testing.T, pool *pgxpool.Pool) (name string, own *pgxpool.Pool) {
	t.Helper()
	name = fmt.Sprintf("role_%d", databases.Add(1))
	run(t, pool, "CREATE ROLE "+name+" LOGIN")
	own, err := Open(t.Context(), pool.Config().ConnString(), func(c *pgxpool.Config) { c.ConnConfig.User = name })
	require.NoError(t, err)
	t.Cleanup(own.Close)
	return name, own
}

// newDir is a directory that the server's account can reach, unlike t.TempDir for root.
func newDir(t *testing.T) string {
	t.Helper()
	a, err := serverAccount()
	require.NoError(t, err)
	dir, err := temporaryDir(a, InMemory())
	require.NoError(t, err)
	require.NoError(t, a.give(dir))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// startIn starts a durable server that the test's end stops.
func startIn(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s
}

// connect opens one connection; it is closed with the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func runChild(job string) {
	verb, arg, _ := strings.Cut(job, " ")
	var err error
	switch verb {
	case "serve": // until killed: durable in the directory arg, temporary without
		var s *Server
		if s, err = Start(context.Background(), Options{Dir: arg, Temporary: arg == ""}); err == nil {
			fmt.Println(s.PID(), s.Dir(), s.URL(superuser))
			select {}
		}
	case "migrate": // the fixture, on the database arg
		var pool *pgxpool.Pool
		if pool, err = Open(context.Background(), arg); err == nil {
			var versions []int64
			versions, err = Migrator{Pool: pool, Files: fixture}.Up(context.Background())
			fmt.Println(versions)
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}
