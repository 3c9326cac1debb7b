package penstocktest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/testkit/testdb"
)

const (
	patience      = 3 * time.Minute // bounds set-up and tear-down, on a machine that is busy
	closePatience = 3 * time.Second // for what the test left running
)

// shared is where the test binary's databases come from.
var shared = testdb.Source{Prefix: "penstocktest_"}

// DB is a database for one test alone, with Penstock's schema in it.
type DB struct {
	Pool   *pgxpool.Pool // up to 10 connections
	URL    string        // the same database, for processes and further pools
	Client *penstock.Client
}

// NewDB makes a database that is dropped when the test ends, in some 30 ms: a copy of
// one that was migrated for the whole test binary. Tests may run in parallel. Every
// other connection to the database is ended then. Without a PostgreSQL the test fails
// and says what to install.
func NewDB(t testing.TB) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	made, err := shared.Create(ctx)
	if err != nil {
		t.Fatalf("penstocktest: %v", err)
	}
	db := &DB{URL: made.URL}
	t.Cleanup(func() { db.remove(t, made.Name) })
	if db.Pool, err = postgres.Open(ctx, db.URL, func(c *pgxpool.Config) {
		c.MaxConns = 10
		c.ConnConfig.RuntimeParams["application_name"] = tail(t.Name(), 63) // whose connection it is, in pg_stat_activity
	}); err != nil {
		t.Fatalf("penstocktest: %v", err)
	}
	if db.Client, err = penstock.NewClient(db.Pool, penstock.Config{}); err != nil {
		t.Fatalf("penstocktest: %v", err)
	}
	return db
}

// remove closes the pool, for which every connection must have been given back, and
// drops the database in any case.
func (db *DB) remove(t testing.TB, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if db.Pool != nil {
			db.Pool.Close()
		}
	}()
	select {
	case <-closed:
	case <-time.After(closePatience):
		t.Errorf("penstocktest: %d connections of DB.Pool are still in use at the end of the test: "+
			"end its transactions (defer tx.Rollback) and close its rows", db.Pool.Stat().AcquiredConns())
	}
	if err := shared.Drop(ctx, name); err != nil {
		t.Errorf("penstocktest: %v", err)
	}
}

// Main runs the tests, removes what they left on the server, and exits. Call it from
// TestMain when the application has its own tables: prepare makes them, once for
// the test binary, in the database that every NewDB copies. It must leave no
// connection open.
//
//	func TestMain(m *testing.M) {
//		penstocktest.Main(m, func(ctx context.Context, url string) error { return app.Migrate(ctx, url) })
//	}
//
// Without Main an empty database stays behind on the server of a DATABASE_URL until the
// next run removes it.
func Main(m *testing.M, prepare ...func(ctx context.Context, url string) error) {
	shared.Prepare = prepare
	code := m.Run()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := shared.Close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "penstocktest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// tail is the last n bytes of a test's name.
func tail(name string, n int) string { return name[max(0, len(name)-n):] }
