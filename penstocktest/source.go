package penstocktest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/internal/postgres"
)

// namePrefix marks test databases on a server that others use too.
const namePrefix = "penstocktest_"

// source makes databases on one server. Its first use finds or starts that, so a
// test binary whose chosen tests need no database pays nothing.
type source struct {
	prepare []func(ctx context.Context, url string) error // of Main; set before the first use

	once     sync.Once
	err      error  // why there is no server; set by once, as is all below
	base     string // URL of a database on the server that is not ours to touch
	run      string // names this run's databases: namePrefix and a random part
	strategy string // of copying the template
	admin    *pgxpool.Pool
	alive    *pgxpool.Conn    // held while this run lasts: its sign of life, see sweep
	server   *postgres.Server // nil: DATABASE_URL
	lifeline io.WriteCloser   // to the server's watcher: it must not be collected

	clones atomic.Int64
}

func (s *source) start(ctx context.Context) (err error) {
	s.run = namePrefix + strings.ToLower(rand.Text()[:10])
	if s.base = os.Getenv("DATABASE_URL"); s.base == "" {
		if s.server, err = postgres.Start(ctx, postgres.Options{Temporary: true}); err != nil {
			return fmt.Errorf("tests need PostgreSQL, and DATABASE_URL is not set: %w", err)
		}
		s.base = s.server.URL("postgres")
		s.strategy = " STRATEGY FILE_COPY" // its checkpoints cost nothing without fsync
		if s.lifeline, err = watch(s.server); err != nil {
			return err
		}
	}
	if s.admin, err = postgres.Open(ctx, s.base, func(c *pgxpool.Config) {
		c.MaxConns = 4
		c.ConnConfig.RuntimeParams["application_name"] = s.run
	}); err != nil {
		return err
	}
	if s.alive, err = s.admin.Acquire(ctx); err != nil {
		return err
	}
	s.sweep(ctx)
	return s.makeTemplate(ctx)
}

// watch leaves a process behind that waits for this one to end, however it does, by
// the end of its input; it then stops the server and removes its files. On Linux the
// kernel has stopped the server by then: only one that postmaster.pid still names is
// signalled.
func watch(server *postgres.Server) (io.WriteCloser, error) {
	const wait = `trap "" INT TERM HUP
cat >/dev/null
[ "$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null)" = "$1" ] && kill -QUIT "$1" 2>/dev/null
n=0
while [ -e "$2/data/postmaster.pid" ] && kill -0 "$1" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
rm -rf "$2" "$3"`
	address, err := url.Parse(server.URL("postgres"))
	if err != nil {
		return nil, err
	}
	watcher := exec.Command("sh", "-c", wait, "sh",
		strconv.Itoa(server.PID()), server.Dir(), address.Query().Get("host")) // the socket may lie elsewhere
	lifeline, err := watcher.StdinPipe()
	if err == nil {
		err = watcher.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("watch the server: %w", err)
	}
	return lifeline, nil
}

// makeTemplate migrates what clone copies. A template must have no connections.
func (s *source) makeTemplate(ctx context.Context) error {
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+s.template()); err != nil {
		return fmt.Errorf("create a test database (the role of DATABASE_URL needs CREATEDB): %w", err)
	}
	pool, err := postgres.Open(ctx, s.url(s.template()))
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := (postgres.Migrator{Pool: pool}).Up(ctx); err != nil {
		return fmt.Errorf("migrate the test database: %w", err)
	}
	for _, prepare := range s.prepare {
		if err := prepare(ctx, s.url(s.template())); err != nil {
			return fmt.Errorf("prepare the test database: %w", err)
		}
	}
	return nil
}

func (s *source) template() string { return s.run + "_template" }

// clone makes a database and returns its name.
func (s *source) clone(ctx context.Context) (string, error) {
	s.once.Do(func() { s.err = s.start(ctx) })
	if s.err != nil {
		return "", s.err
	}
	name := fmt.Sprintf("%s_%d", s.run, s.clones.Add(1))
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+s.template()+s.strategy); err != nil {
		return "", fmt.Errorf("copy the migrated database: %w", err)
	}
	return name, nil
}

func (s *source) drop(ctx context.Context, name string) error {
	if _, err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// url names another database of the server.
func (s *source) url(database string) string {
	u, err := url.Parse(s.base)
	if err != nil || u.Scheme == "" {
		return s.base + " dbname=" + database // keyword form: the last dbname wins
	}
	u.Path = "/" + database
	return u.String()
}

// sweep drops databases of runs that ended without Main: no connection bears their
// name any more. What cannot be dropped is left for the next run.
func (s *source) sweep(ctx context.Context) {
	rows, err := s.admin.Query(ctx, `SELECT d.datname FROM pg_database d
		WHERE starts_with(d.datname, $1) AND NOT EXISTS (
			SELECT FROM pg_stat_activity a WHERE a.application_name = left(d.datname, $2))`, namePrefix, len(s.run))
	if err != nil {
		return
	}
	left, _ := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range left {
		_ = s.drop(ctx, name)
	}
}

// close removes what is left on the server, and the server if it was started here.
func (s *source) close(ctx context.Context) error {
	var errs []error
	if s.admin != nil {
		errs = append(errs, s.drop(ctx, s.template()))
		if s.alive != nil {
			s.alive.Release()
		}
		s.admin.Close()
	}
	if s.server != nil {
		errs = append(errs, s.server.Stop(ctx))
	}
	return errors.Join(errs...)
}
