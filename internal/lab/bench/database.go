package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/postgres"
)

// ErrRemote: the server is on another machine and --remote was not given. A benchmark
// uses everything a server has, and DATABASE_URL may name a busy one.
var ErrRemote = errors.New("the server of DATABASE_URL is not on this machine: a benchmark would load it fully; " +
	"add --remote to allow that, or unset DATABASE_URL to use a private server")

// databasePrefix begins the name of a run's own database. Process id and time follow,
// so that the owner of a leftover database can be found.
const databasePrefix = "penstock_bench_"

// cleanupTimeout bounds dropping the database and stopping the server.
const cleanupTimeout = time.Minute

// durableSettings are those of `penstock serve`, for a temporary server.
var durableSettings = map[string]string{
	"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "100",
}

// runDatabase is the run's database and its server.
type runDatabase struct {
	server *postgres.Server // nil on a given URL
	url    string           // of the server
	name   string           // of the database, once it is made
	config *pgxpool.Config  // of the database
	pool   *pgxpool.Pool    // for reading counts, never for enqueueing or working
}

// openDatabase makes a database with the schema on the server of opts.
func openDatabase(ctx context.Context, opts Options) (_ *runDatabase, err error) {
	p := &runDatabase{url: opts.URL}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.url == "" {
		if p.server, err = postgres.Start(ctx, postgres.Options{Temporary: true, Settings: durableSettings}); err != nil {
			return nil, err
		}
		p.url = p.server.URL("postgres")
	}
	given, err := pgx.ParseConfig(p.url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	if !opts.Remote && !local(given.Host) {
		return nil, ErrRemote
	}
	if err := p.create(ctx); err != nil {
		return nil, err
	}
	p.pool, err = postgres.Open(ctx, p.url, func(c *pgxpool.Config) { c.ConnConfig.Database = p.name })
	if err != nil {
		return nil, err
	}
	p.config = p.pool.Config()
	_, err = postgres.Migrator{Pool: p.pool}.Up(ctx)
	return p, err
}

// local is true for a Unix socket and for an address that only this machine has.
func local(host string) bool {
	ip := net.ParseIP(host)
	return filepath.IsAbs(host) || host == "localhost" || ip != nil && ip.IsLoopback()
}

func (p *runDatabase) create(ctx context.Context) error {
	name := fmt.Sprintf("%s%d_%d", databasePrefix, os.Getpid(), time.Now().UnixMilli())
	if err := p.administer(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("make a database for the benchmark: %w: its role needs CREATEDB, or unset DATABASE_URL to use a private server", err)
	}
	p.name = name
	return nil
}

// databaseURL returns the URL of the run's database, for another program.
func (p *runDatabase) databaseURL() (string, error) {
	u, err := url.Parse(p.url)
	if err != nil || u.Scheme == "" {
		return "", errors.New("bench: another program needs the server as a URL: postgres://user@host:port/database")
	}
	u.Path = "/" + p.name
	return u.String(), nil
}

func (p *runDatabase) administer(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// close drops the database and stops the server, as far as they exist.
func (p *runDatabase) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if p.pool != nil {
		p.pool.Close()
	}
	if p.server != nil {
		return p.server.Stop(ctx)
	}
	if p.name == "" {
		return nil
	}
	if err := p.administer(ctx, "DROP DATABASE "+pgx.Identifier{p.name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop the benchmark's database %s: %w", p.name, err)
	}
	return nil
}
