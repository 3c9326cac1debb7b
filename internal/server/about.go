package server

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/terminal"
)

// WriteAbout prints where the server is and which database it uses.
func (s *Server) WriteAbout(ctx context.Context, out io.Writer, screen terminal.Screen) error {
	version, err := (postgres.Migrator{Pool: s.pool}).Version(ctx)
	if err != nil {
		return err
	}
	schema := fmt.Sprintf("version %d", version)
	if n := len(s.applied); n > 0 {
		schema += fmt.Sprintf(", %s applied just now", terminal.Plural(n, "migration"))
	}
	var about terminal.Facts
	about.Add("serving", terminal.Cell{Text: s.URL, Colour: terminal.Green})
	about.Add("admin", terminal.Cell{Text: s.adminURL, Colour: terminal.Green})
	about.Add("database", terminal.Text(s.whichDatabase()))
	about.Add("schema", terminal.Text(schema))
	fmt.Fprintf(out, "%s %s\n", screen.Paint(terminal.Bold, "penstock"), s.options.Version)
	return about.Write(out, screen, "  ")
}

func (s *Server) whichDatabase() string {
	if s.database.Server != nil {
		return "a private " + s.database.Server.String()
	}
	if shown := s.cfg.DatabaseURL.String(); shown != "" {
		return shown
	}
	return "DATABASE_URL"
}

// Setup is the shell line that lets commands in another terminal find the database; empty
// when they find it anyway.
func (s *Server) Setup() string {
	if s.cfg.DataDir == "" || s.cfg.DatabaseURL != "" {
		return ""
	}
	return "export PENSTOCK_DATA_DIR=" + terminal.ShellQuote(s.cfg.DataDir)
}

// PrivateURL is the address of the private PostgreSQL; empty without one.
func (s *Server) PrivateURL() string {
	if s.database.Server == nil {
		return ""
	}
	return s.database.URL
}

// Pool is the server's pool of connections. The server closes it.
func (s *Server) Pool() *pgxpool.Pool { return s.pool }

// NewClient is a client on the server's pool whose work the server's metrics count. It logs
// to log.
func (s *Server) NewClient(log *zap.Logger) (*penstock.Client, error) {
	return s.reports.Client(s.pool, log)
}

// PsqlURL is the database as psql takes it in a shell, without printing a password.
func (s *Server) PsqlURL() string {
	if s.database.Server != nil {
		return terminal.ShellQuote(s.database.URL)
	}
	return `"$DATABASE_URL"`
}
