package penstocktest_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/penstocktest"
)

// childVar makes a test binary one that another test starts: "plain" or "main".
const childVar = "PENSTOCKTEST_CHILD"

// TestMain is what an application need not have: it lets a child call Main.
func TestMain(m *testing.M) {
	if os.Getenv(childVar) == "main" {
		penstocktest.Main(m, func(ctx context.Context, url string) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, "CREATE TABLE accounts AS SELECT 'ann' AS name")
			return err
		})
	}
	os.Exit(m.Run())
}

func query[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// TestChild is run by the tests below, in a process of its own.
func TestChild(t *testing.T) {
	mode := os.Getenv(childVar)
	if mode == "" {
		return // as a test of this process it has nothing to show
	}
	db := penstocktest.NewDB(t)
	fmt.Printf("data in %s\n", query[string](t, db.Pool, "SHOW data_directory"))
	if mode == "main" {
		require.Equal(t, "ann", query[string](t, db.Pool, "SELECT name FROM accounts"))
	}
	if os.Getenv("PENSTOCKTEST_HANG") != "" {
		fmt.Println("hanging")
		select {}
	}
}

// child is this test binary again, running TestChild.
func child(t *testing.T, mode string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(append(os.Environ(), childVar+"="+mode), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// ownServer makes a child start a server itself.
var ownServer = []string{"DATABASE_URL=", "PENSTOCK_TEST_SERVER="}

// dataDir finds what TestChild printed.
func dataDir(t *testing.T, output string) string {
	t.Helper()
	_, rest, found := strings.Cut(output, "data in ")
	require.True(t, found, output)
	dir, _, _ := strings.Cut(rest, "\n")
	return dir
}

func requireGone(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := os.Stat(strings.TrimSuffix(dir, "/data"))
		return os.IsNotExist(err)
	}, 20*time.Second, 10*time.Millisecond, dir)
}

func TestTheServerIsGoneWithTheTestBinary(t *testing.T) {
	t.Parallel()
	var children sync.WaitGroup
	var out [2][]byte
	var err [2]error
	for i, mode := range []string{"plain", "main"} {
		children.Go(func() { out[i], err[i] = child(t, mode, ownServer...).Output() })
	}
	children.Wait()
	for i := range out {
		require.NoError(t, err[i], string(out[i]))
		requireGone(t, dataDir(t, string(out[i])))
	}
}

func TestTheServerIsGoneWhenTheTestBinaryIsKilled(t *testing.T) {
	t.Parallel()
	cmd := child(t, "plain", append(ownServer, "PENSTOCKTEST_HANG=1")...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "hanging"; {
		said.WriteString(lines.Text() + "\n")
	}
	dir := dataDir(t, said.String())
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	requireGone(t, dir)
}

func TestTheServerOfADatabaseURLIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	// Databases of the child's runs, told apart from this run's by their names.
	mine := query[string](t, db.Pool, "SELECT substring(current_database() FROM '^penstocktest_[a-z0-9]+')")
	others := func() int {
		return query[int](t, db.Pool, `SELECT count(*) FROM pg_database
			WHERE starts_with(datname, 'penstocktest_') AND NOT starts_with(datname, $1)`, mine)
	}
	out, err := child(t, "plain", "DATABASE_URL="+db.URL).Output()
	require.NoError(t, err, string(out))
	require.Equal(t, 1, others(), "without Main the template stays")
	out, err = child(t, "main", "DATABASE_URL="+db.URL).Output()
	require.NoError(t, err, string(out))
	require.Zero(t, others(), "the next run removes it, and Main its own")
	require.Equal(t, 0, query[int](t, db.Pool, "SELECT count(*) FROM penstock.jobs"))
}

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	var gone string
	t.Run("one", func(t *testing.T) {
		a, b := penstocktest.NewDB(t), penstocktest.NewDB(t)
		for _, db := range []*penstocktest.DB{a, b} {
			_, err := db.Pool.Exec(t.Context(), "CREATE TABLE mine (x int)")
			require.NoError(t, err, "neither sees the other's table")
		}
		gone = query[string](t, a.Pool, "SELECT current_database()")
		require.Contains(t, a.URL, gone)
	})
	require.Zero(t, query[int](t, penstocktest.NewDB(t).Pool, "SELECT count(*) FROM pg_database WHERE datname = $1", gone))
}

func TestATransactionLeftOpenFailsItsTestAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	var gone string
	t.Run("one", func(t *testing.T) {
		r.T = t
		db := penstocktest.NewDB(r)
		gone = query[string](t, db.Pool, "SELECT current_database()")
		_, err := db.Pool.Begin(t.Context()) // left open on purpose
		require.NoError(t, err)
	})
	require.Contains(t, r.said, "1 connections of DB.Pool are still in use at the end of the test: end its transactions")
	require.Zero(t, query[int](t, penstocktest.NewDB(t).Pool, "SELECT count(*) FROM pg_database WHERE datname = $1", gone))
}

func TestWithoutAServerTheTestFails(t *testing.T) {
	t.Parallel()
	out, err := child(t, "plain", "DATABASE_URL=postgres:///x?host=/nowhere").Output()
	require.Error(t, err)
	require.Contains(t, string(out), "--- FAIL: TestChild")
	require.Contains(t, string(out), "penstocktest: connect to Postgres: ")
}
