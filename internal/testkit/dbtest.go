// Package testkit gives every test a database of its own on a real PostgreSQL,
// cloned in some 30 ms from a template that has been migrated once per test binary.
//
// The server is, in this order: DATABASE_URL; an embedded temporary one from
// installed binaries; a Docker container. Where there is none of them, tests fail
// and say what to install: they never skip. Main, called from TestMain, stops what
// was started; should the test binary be killed, the embedded server dies with it
// on Linux, and leftovers elsewhere are removed by the next run.
package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/penstock/penstock/internal/postgres"
)

// patience bounds setting up and tearing down, on a machine that is busy.
const patience = time.Minute

// shared is the test binary's one source of databases; nil outside Main.
var shared *source

// atEnd is what AtEnd was given.
var atEnd []func() error

// AtEnd has Main ask check when all tests have passed, for what only all of them
// together can prove. Call it before Main.
func AtEnd(check func() error) { atEnd = append(atEnd, check) }

// Main runs the tests, stops the server, and, when all tests passed, fails the run
// if goroutines were left behind or a check of AtEnd says so. Call it from TestMain; it
// does not return.
func Main(m *testing.M, ignore ...goleak.Option) {
	shared = &source{}
	code := m.Run()
	err := shared.close()
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

// DB is one test's database, with Penstock's schema in it.
type DB struct {
	Pool *pgxpool.Pool // up to 10 connections
	URL  string        // the same database, for processes and further pools
	Name string
}

// New makes a database that is dropped when the test ends. Tests may run in
// parallel. Whatever else the test connected to it is cut off then.
func New(t testing.TB) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if shared == nil {
		t.Fatal("testkit: declare `func TestMain(m *testing.M) { testkit.Main(m) }` in this package")
	}
	name, err := shared.clone(ctx)
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := shared.drop(ctx, name); err != nil {
			t.Errorf("testkit: %v", err)
		}
	})
	return open(ctx, t, shared.url(name), name)
}

// open connects a pool that is closed when the test ends, before cleanups that
// were registered earlier.
func open(ctx context.Context, t testing.TB, url, name string) *DB {
	t.Helper()
	pool, err := postgres.Open(ctx, url, func(c *pgxpool.Config) {
		c.MaxConns = 10
		c.ConnConfig.RuntimeParams["application_name"] = appName(t)
	})
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	t.Cleanup(pool.Close)
	return &DB{Pool: pool, URL: url, Name: name}
}

// appName shows in pg_stat_activity whose connection it is; Postgres takes 63 bytes.
func appName(t testing.TB) string {
	name := t.Name()
	return name[max(0, len(name)-63):]
}
