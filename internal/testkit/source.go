package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/postgres"
)

// namePrefix marks the databases of tests on a server that others use too.
const namePrefix = "penstock_test_"

// source makes databases on one server. The first use starts it, so packages
// whose chosen tests need no database pay nothing.
type source struct {
	once  sync.Once
	err   error  // why there is no server; set by once, as is all below
	base  string // URL of the server's maintenance database
	run   string // names this run's databases: namePrefix and a random part
	admin *pgxpool.Pool
	stop  stopFunc

	clones atomic.Int64
}

func (s *source) ready(ctx context.Context) error {
	s.once.Do(func() { s.err = s.start(ctx) })
	return s.err
}

func (s *source) start(ctx context.Context) (err error) {
	s.run = namePrefix + strings.ToLower(rand.Text()[:10])
	if s.base, s.stop, err = findServer(ctx, postgres.Options{Temporary: true}, startContainer); err != nil {
		return err
	}
	if s.admin, err = postgres.Open(ctx, s.base, func(c *pgxpool.Config) {
		c.MaxConns = 4
		c.MinConns = 1 // the run's sign of life, see sweep
		c.MaxConnIdleTime = 24 * time.Hour
		c.MaxConnLifetime = 24 * time.Hour
		c.ConnConfig.RuntimeParams["application_name"] = s.run
	}); err != nil {
		return err
	}
	s.sweep(ctx)
	return s.makeTemplate(ctx)
}

// stopFunc ends what a source started.
type stopFunc func(context.Context) error

// findServer returns the URL of a maintenance database and what ends the server.
func findServer(ctx context.Context, opts postgres.Options, container func(context.Context) (string, stopFunc, error)) (string, stopFunc, error) {
	if given := os.Getenv("DATABASE_URL"); given != "" {
		return given, func(context.Context) error { return nil }, nil
	}
	server, err := postgres.Start(ctx, opts)
	if err == nil {
		return server.URL("postgres"), server.Stop, nil
	}
	if !errors.Is(err, postgres.ErrNoBinaries) {
		return "", nil, err
	}
	base, stop, dockerErr := container(ctx)
	if dockerErr != nil {
		return "", nil, fmt.Errorf("tests need PostgreSQL: %w\nor start Docker (%w)", err, dockerErr)
	}
	return base, stop, nil
}

func (s *source) template() string { return s.run + "_template" }

func (s *source) makeTemplate(ctx context.Context) error {
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+s.template()); err != nil {
		return fmt.Errorf("create the template database (DATABASE_URL's role needs CREATEDB): %w", err)
	}
	return migrate(ctx, s.url(s.template()))
}

// migrate brings a database to this binary's schema and leaves no connection,
// which a template must not have.
func migrate(ctx context.Context, url string) error {
	pool, err := postgres.Open(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := (postgres.Migrator{Pool: pool}).Up(ctx); err != nil {
		return fmt.Errorf("migrate the template database: %w", err)
	}
	return nil
}

// clone makes a database. FILE_COPY, because with fsync off its checkpoints cost
// less than writing every page to the WAL.
func (s *source) clone(ctx context.Context) (string, error) {
	if err := s.ready(ctx); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s_%d", s.run, s.clones.Add(1))
	_, err := s.admin.Exec(ctx, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s STRATEGY FILE_COPY", name, s.template()))
	if err != nil {
		return "", fmt.Errorf("clone the template database: %w", err)
	}
	return name, nil
}

func (s *source) drop(ctx context.Context, name string) error {
	if _, err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// url is the server's URL with another database in it.
func (s *source) url(database string) string {
	u, err := url.Parse(s.base)
	if err != nil || u.Scheme == "" {
		return s.base + " dbname=" + database // keyword form: the last dbname wins
	}
	u.Path = "/" + database
	return u.String()
}

// sweep drops databases of runs that were killed: those of which no connection
// bears the run's name any more. What cannot be dropped is left for the next run.
func (s *source) sweep(ctx context.Context) {
	rows, err := s.admin.Query(ctx, `SELECT d.datname FROM pg_database d
		WHERE starts_with(d.datname, $1) AND NOT EXISTS (
			SELECT FROM pg_stat_activity a WHERE a.application_name = substring(d.datname FOR $2))`,
		namePrefix, len(s.run))
	if err != nil {
		return
	}
	stale, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range stale {
		if err == nil {
			_ = s.drop(ctx, name)
		}
	}
}

// close drops what is left on the server and stops the server if it was started here.
func (s *source) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	if s.admin != nil {
		errs = append(errs, s.drop(ctx, s.template()))
		s.admin.Close()
	}
	if s.stop != nil {
		errs = append(errs, s.stop(ctx))
	}
	return errors.Join(errs...)
}
