// Package testdb makes databases for tests: each is a copy of a template that has
// Penstock's schema. Packages testkit and penstocktest stand on it. It imports nothing
// that the library does not need, because penstocktest ships to users.
package testdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/postgres"
)

// Source makes databases on one server. Its first use finds or starts the server, so a
// test binary that needs no database pays nothing.
type Source struct {
	// Prefix starts the name of every database, which on a server of DATABASE_URL
	// tells them from those of others: "penstock_test_".
	Prefix string
	// Prepare adds to the template what the application needs. It must leave no
	// connection open. Set it before the first use.
	Prepare []func(ctx context.Context, url string) error

	once     sync.Once
	err      error // why there is no server; set by once, as is all below
	server   server
	run      string // starts the names of this run's databases: Prefix and a random part
	template string
	admin    *pgxpool.Pool
	alive    *pgxpool.Conn // held until Close: it shows other runs that this one lives

	copies atomic.Int64
}

// Database is one copy of the template.
type Database struct{ Name, URL string }

// Create makes a database. Tests may call it in parallel. Errors say what to install
// when there is no PostgreSQL.
func (s *Source) Create(ctx context.Context) (Database, error) {
	s.once.Do(func() { s.err = s.start(ctx) })
	if s.err != nil {
		return Database{}, s.err
	}
	name := fmt.Sprintf("%s_%d", s.run, s.copies.Add(1))
	strategy := ""
	if s.server.ours {
		strategy = " STRATEGY FILE_COPY" // without fsync its checkpoints cost less than WAL
	}
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+s.template+strategy); err != nil {
		return Database{}, fmt.Errorf("copy the template database: %w", err)
	}
	return Database{name, withDatabase(s.server.url, name)}, nil
}

// Drop removes a database and ends every connection to it.
func (s *Source) Drop(ctx context.Context, name string) error {
	if _, err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// Close removes what this run left on the server, and stops the server if this process
// started it.
func (s *Source) Close(ctx context.Context) error {
	var errs []error
	if s.admin != nil {
		if strings.HasPrefix(s.template, s.run) {
			errs = append(errs, s.Drop(ctx, s.template))
		}
		if s.alive != nil {
			s.alive.Release()
		}
		s.admin.Close()
	}
	if s.server.stop != nil {
		errs = append(errs, s.server.stop(ctx))
	}
	return errors.Join(errs...)
}

func (s *Source) start(ctx context.Context) (err error) {
	s.run = s.Prefix + strings.ToLower(rand.Text()[:10])
	if s.server, err = find(ctx); err != nil {
		return err
	}
	if s.admin, err = postgres.Open(ctx, s.server.url, func(c *pgxpool.Config) {
		c.MaxConns = 5 // one of them is alive
		c.ConnConfig.RuntimeParams["application_name"] = s.run
	}); err != nil {
		return err
	}
	if s.alive, err = s.admin.Acquire(ctx); err != nil {
		return err
	}
	if !s.server.ours {
		s.sweep(ctx)
	}
	return s.makeTemplate(ctx)
}

// sweep drops the databases of runs that ended without Close: no connection has the
// run's name any more. What cannot be dropped is left for the next run.
func (s *Source) sweep(ctx context.Context) {
	rows, err := s.admin.Query(ctx, `SELECT d.datname FROM pg_database d
		WHERE starts_with(d.datname, $1) AND NOT EXISTS (
			SELECT FROM pg_stat_activity a WHERE a.application_name = left(d.datname, $2))`, s.Prefix, len(s.run))
	if err != nil {
		return
	}
	stale, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range stale {
		if err == nil {
			_ = s.Drop(ctx, name)
		}
	}
}

// withDatabase is a server's URL with another database in it.
func withDatabase(server, database string) string {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "" {
		return server + " dbname=" + database // keyword form: the last dbname wins
	}
	u.Path = "/" + database
	return u.String()
}
