package testkit

import (
	"context"
	"maps"
	"testing"

	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/testkit/testdb"
)

// Server is a PostgreSQL for one test alone, to crash and restart, with a migrated
// database in it. DB's pool and URL outlive both: pgx reconnects.
type Server struct {
	*postgres.Server     // Crash, Restart, PID, URL of further databases
	DB               *DB // the migrated database
}

// NewServer starts a server that is stopped and removed when the test ends. It
// takes a second, so tests that need no crash use New. What it has committed survives
// Crash: unlike the shared server it has synchronous_commit on. fsync is off, because
// it matters only when the machine crashes. settings win over both: {"fsync": "on"}.
// DATABASE_URL and Docker are not used here: without server binaries the test fails.
func NewServer(t testing.TB, settings map[string]string) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	own := map[string]string{"synchronous_commit": "on"}
	maps.Copy(own, settings)
	server, err := postgres.Start(ctx, postgres.Options{Temporary: true, Parent: postgres.InMemory(), Settings: own})
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Errorf("testkit: %v", err)
		}
	})
	url := server.URL("postgres")
	if err := testdb.Migrate(ctx, url); err != nil {
		t.Fatalf("testkit: %v", err)
	}
	return &Server{Server: server, DB: open(ctx, t, testdb.Database{Name: "postgres", URL: url})}
}
