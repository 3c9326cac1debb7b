// Package testkit gives every test a database of its own on a real PostgreSQL, in some
// 30 ms: a copy of a template that was migrated once.
//
// The server is, in this order: that of DATABASE_URL; the one that `make test` starts
// for all packages; one that this test binary starts, from installed binaries or in
// Docker. Where there is none, tests fail and say what to install: they never skip.
package testkit

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/testkit/testdb"
)

// patience bounds set-up and tear-down, on a machine that is busy.
const patience = 3 * time.Minute

// shared is the test binary's one source of databases; nil outside Main.
var shared *testdb.Source

// atEnd is what AtEnd was given.
var atEnd []func() error

// AtEnd has Main call check when all tests have passed, for what only all of them
// together can prove. Call it before Main.
func AtEnd(check func() error) { atEnd = append(atEnd, check) }

// Main runs the tests and stops what was started for them. When all tests passed, it
// fails the run if goroutines are left or a check of AtEnd fails. Call it from TestMain;
// it does not return.
func Main(m *testing.M, ignore ...goleak.Option) {
	shared = &testdb.Source{Prefix: "penstock_test_"}
	flag.Parse()
	fewerChecks()
	code := m.Run()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := shared.Close(ctx)
	if err == nil && code == 0 {
		err = goleak.Find(ignore...)
		for _, check := range atEnd {
			err = errors.Join(err, check())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testkit:", err)
		code = 1
	}
	os.Exit(code)
}

// fewerChecks makes rapid try each property 20 times instead of 100, since a try here
// is a history in a database. The long tests have all, and -rapid.checks decides if it
// is given.
func fewerChecks() {
	checks := flag.Lookup("rapid.checks")
	if checks == nil || IsLong() || checks.Value.String() != checks.DefValue {
		return
	}
	if err := flag.Set(checks.Name, "20"); err != nil {
		panic(err)
	}
}

// DB is one test's database, with Penstock's schema in it.
type DB struct {
	Pool *pgxpool.Pool // up to 10 connections
	URL  string        // the same database, for processes and further pools
	Name string
}

// New makes a database that is dropped when the test ends. Tests may run in
// parallel. Every other connection to it is ended then.
func New(t testing.TB) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if shared == nil {
		t.Fatal("testkit: declare `func TestMain(m *testing.M) { testkit.Main(m) }` in this package")
	}
	made, err := shared.Create(ctx)
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := shared.Drop(ctx, made.Name); err != nil {
			t.Errorf("testkit: %v", err)
		}
	})
	return open(ctx, t, made)
}

// open connects a pool that is closed when the test ends, before cleanups that
// were registered earlier.
func open(ctx context.Context, t testing.TB, made testdb.Database) *DB {
	t.Helper()
	pool, err := postgres.Open(ctx, made.URL, func(c *pgxpool.Config) {
		c.MaxConns = 10
		c.ConnConfig.RuntimeParams["application_name"] = appName(t)
	})
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	t.Cleanup(pool.Close)
	return &DB{Pool: pool, URL: made.URL, Name: made.Name}
}

// appName shows in pg_stat_activity which test a connection belongs to. Postgres takes
// 63 bytes.
func appName(t testing.TB) string {
	name := t.Name()
	return name[max(0, len(name)-63):]
}

// Long skips a test that takes many seconds unless PENSTOCK_LONG is set. `make test-long`
// and .ci/run set it.
func Long(t testing.TB) {
	t.Helper()
	if !IsLong() {
		t.Skip("it takes long: use `make test-long`, or set PENSTOCK_LONG=1")
	}
}

// IsLong reports whether the tests that take long are to run.
func IsLong() bool { return os.Getenv("PENSTOCK_LONG") != "" }
