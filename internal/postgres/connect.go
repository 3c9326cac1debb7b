package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/dial"
)

// databaseName is the database that an embedded durable server keeps jobs in.
const databaseName = "penstock"

// Open connects a pool and proves that a PostgreSQL 15 or later answers. url is
// any form that pgx takes; configure may change what url left open, before the
// first connection. application_name is "penstock" unless url or PGAPPNAME says.
// Errors: ErrTooOld; otherwise why Postgres could not be reached.
func Open(ctx context.Context, url string, configure ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "penstock"
	}
	dial.Pin(cfg.ConnConfig.RuntimeParams)
	for _, f := range configure {
		f(cfg)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open a pool: %w", err)
	}
	if err := checkServer(ctx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	return pool, nil
}

func checkServer(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	version := conn.Conn().PgConn().ParameterStatus("server_version")
	if major, err := strconv.Atoi(firstNumber.FindString(version)); err == nil && major < oldestMajor {
		return fmt.Errorf("%w: the server is %s, Penstock needs %d or later", ErrTooOld, version, oldestMajor)
	}
	return nil
}

// Database is where Resolve found Postgres.
type Database struct {
	URL    string
	Server *Server // the embedded server, which Close stops; nil for a given URL
}

// Close stops the embedded server, if there is one. Close pools first: a clean
// shutdown ends their connections.
func (d *Database) Close(ctx context.Context) error {
	if d.Server == nil {
		return nil
	}
	return d.Server.Stop(ctx)
}

// Resolve finds the database to use: url, else the environment's DATABASE_URL,
// else an embedded server started with opts, with a database "penstock" in it.
// Errors: as Start, of which ErrNoBinaries says what to install.
func Resolve(ctx context.Context, url string, opts Options) (*Database, error) {
	if url == "" {
		url = os.Getenv("DATABASE_URL")
	}
	if url != "" {
		return &Database{URL: url}, nil
	}
	s, err := Start(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL is not set: %w", err)
	}
	if err := s.createDatabase(ctx, databaseName); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	d := &Database{URL: s.URL(databaseName), Server: s}
	return d, s.dir.note(d.URL)
}

// createDatabase does nothing when the database exists.
func (s *Server) createDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.URL(superuser))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(ctx)
	const duplicateDatabase = "42P04"
	var pgErr *pgconn.PgError
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	if err != nil && !(errors.As(err, &pgErr) && pgErr.Code == duplicateDatabase) {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// Attach returns the URL of the embedded server that another process, such as
// `penstock serve`, runs in dir; empty takes DefaultDir. Commands use it when no
// DATABASE_URL is set. Errors: ErrNotRunning.
func Attach(dir string) (string, error) {
	if dir == "" {
		var err error
		if dir, err = DefaultDir(); err != nil {
			return "", err
		}
	}
	// The holder's process id stands in for the lock: to try the lock itself would,
	// for a moment, make a starting server believe that someone else has it.
	f, err := os.Open(directory{path: dir}.lockPath())
	if err == nil {
		defer f.Close()
		if pid, url := readNote(f); url != "" && alive(pid) {
			return url, nil
		}
	}
	return "", fmt.Errorf("%w in %s: start one with `penstock serve`, or set DATABASE_URL", ErrNotRunning, dir)
}
