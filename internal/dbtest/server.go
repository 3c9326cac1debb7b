package dbtest

import (
	"context"
	"testing"

	"github.com/penstock/penstock/internal/postgres"
)

// Server is a PostgreSQL of one test's own, to crash and restart, with a migrated
// database in it. The DB's pool and URL outlive both: pgx reconnects.
type Server struct {
	*postgres.Server
	DB
}

// NewServer starts a server that is stopped and removed when the test ends. It
// takes a second, so tests that harm nothing use New. Settings win over the
// temporary server's own: {"fsync": "on", "synchronous_commit": "on"}. Other tests'
// DATABASE_URL is not used, nor is Docker: without server binaries the test fails.
func NewServer(t testing.TB, settings map[string]string) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := postgres.Start(ctx, postgres.Options{Temporary: true, Settings: settings})
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Errorf("dbtest: %v", err)
		}
	})
	url := server.URL("postgres")
	if err := migrate(ctx, url); err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	return &Server{Server: server, DB: *open(ctx, t, url, "postgres")}
}
