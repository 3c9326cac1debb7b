package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
)

// superuser owns every embedded cluster.
const superuser = "postgres"

// Options configure Start. The zero value is a durable server in DefaultDir.
type Options struct {
	// Dir holds the cluster, its log and its socket. Empty takes DefaultDir, or a
	// fresh directory for a temporary server. It is made when it does not exist.
	Dir string
	// Temporary trades durability for speed (fsync, synchronous_commit and
	// full_page_writes off, 300 connections) and removes Dir on Stop. A crash of
	// the machine loses it; one of the server alone loses the last second's commits,
	// unless Settings turn synchronous_commit on.
	Temporary bool
	// Parent is where a temporary server makes its directory when Dir is empty. Empty
	// takes a directory on disk that the server's user can reach.
	Parent string
	// Settings are added to the server's command line and win over those that
	// Start chooses: {"fsync": "on"}.
	Settings map[string]string
	// Environ is added to the server's environment: "LD_PRELOAD=…".
	Environ []string
	// Log also receives the server's messages. Nil keeps them in Dir/server.log only.
	Log io.Writer
	// Binaries is the directory of postgres and initdb. Empty searches PATH, then
	// the places where packages put them, newest first.
	Binaries string
}

// Server is an embedded PostgreSQL server that this process owns.
type Server struct {
	opts      Options
	binaries  binaries
	dir       directory
	socketDir string
	ownSocket bool // the socket's directory is outside dir and goes with Stop

	mu      sync.Mutex // serializes Stop, Crash and Restart; guards what follows
	process *process   // nil when the server is down
	closed  bool       // Stop was called: dir is no longer ours
}

// Start runs a PostgreSQL server and returns when it takes connections: about a
// second for a new cluster, a fifth of one for an existing one. ctx bounds the
// start, not the server's life; end that with Stop. On Linux the server also ends
// with this process.
//
// Errors: ErrNoBinaries, ErrInUse, ErrStalePID, ErrOtherMajor, ErrDirectory, each
// with its remedy; otherwise what the server itself said.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	s := &Server{opts: opts}
	defer func() {
		if err != nil {
			s.halt((*process).kill)
			_ = s.release() // err is why; this would be its consequence
			err = fmt.Errorf("start PostgreSQL: %w", err)
		}
	}()
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.socketDir, s.ownSocket, err = s.dir.socketDir(); err != nil {
		return nil, err
	}
	if err := s.initialize(ctx); err != nil {
		return nil, err
	}
	if err := s.launch(ctx); err != nil {
		return nil, err
	}
	if err := s.dir.note(s.URL(superuser)); err != nil {
		return nil, err
	}
	return s, nil
}

// open chooses and locks the directory.
func (s *Server) open() error {
	a, err := serverAccount()
	if err != nil {
		return err
	}
	path := s.opts.Dir
	switch {
	case path != "":
	case s.opts.Temporary:
		path, err = temporaryDir(a, s.opts.Parent)
	default:
		path, err = DefaultDir()
	}
	if err != nil {
		return err
	}
	s.dir, err = openDirectory(path, a)
	return err
}

// initialize finds the binaries that fit the data and makes the data if need be.
func (s *Server) initialize(ctx context.Context) error {
	major, err := s.dir.major()
	if err != nil {
		return err
	}
	s.binaries, err = findBinaries(s.opts.Binaries, major)
	if errors.Is(err, ErrOtherMajor) {
		return fmt.Errorf("%s: %w: install PostgreSQL %d, or bring the data over with pg_upgrade, or move the directory away to begin anew",
			s.dir.data(), err, major)
	}
	if err != nil || major != 0 {
		return err
	}
	return s.dir.initialize(ctx, s.binaries, !s.opts.Temporary)
}

// launch runs the server on existing data.
func (s *Server) launch(ctx context.Context) error {
	if err := checkPIDFile(ctx, s.dir.data(), s.socketDir); err != nil {
		return err
	}
	log, err := openServerLog(s.dir.serverLog(), s.opts.Log)
	if err != nil {
		return err
	}
	cmd := exec.Command(s.binaries.path("postgres"), s.args()...)
	cmd.Dir, cmd.Env = s.dir.data(), append(serverEnv(), s.opts.Environ...)
	s.dir.account.prepare(cmd)
	p, err := runProcess(cmd, log)
	if err != nil {
		return err
	}
	if err := p.awaitReady(ctx); err != nil {
		return fmt.Errorf("%w%s", err, s.dir.accessHint(err, log.tail()))
	}
	s.process = p
	return nil
}

func (s *Server) args() []string {
	settings := map[string]string{
		"listen_addresses":        "",
		"port":                    "5432", // names the socket; no TCP is listened on
		"unix_socket_directories": `"` + s.socketDir + `"`,
		"unix_socket_permissions": "0700",
		"log_destination":         "stderr",
		"logging_collector":       "off",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if s.opts.Temporary {
		maps.Copy(settings, map[string]string{
			"fsync":              "off",
			"synchronous_commit": "off",
			"full_page_writes":   "off",
			"max_connections":    "300",
		})
	}
	maps.Copy(settings, s.opts.Settings)
	args := []string{"-D", s.dir.data()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// URL is the connection string of a database on this server, for pgx, libpq and
// psql alike. It stays the same through Crash and Restart.
func (s *Server) URL(database string) string { return socketURL(s.socketDir, database) }

func socketURL(dir, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database}
	u.RawQuery = url.Values{"host": {dir}}.Encode()
	return u.String()
}

// Dir is the directory that holds the cluster and server.log.
func (s *Server) Dir() string { return s.dir.path }

// Version is the server's version, such as "15.18".
func (s *Server) Version() string { return s.binaries.version }

// PID is the postmaster's process id, or 0 while the server is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// Crash stops the server as `pg_ctl stop -m immediate` does: connections break,
// nothing is flushed, the next Restart recovers from the WAL. It returns when the
// server is gone, and does nothing when it is down.
func (s *Server) Crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt((*process).kill)
}

// Restart starts the server again on the same data and URL, after stopping it
// cleanly if it runs. Errors: as Start; os.ErrClosed after Stop.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("restart PostgreSQL: %w", os.ErrClosed)
	}
	s.halt(func(p *process) { p.stop(ctx, signalFast) })
	if err := s.launch(ctx); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	return nil
}

// Stop ends the server and gives up its directory; a temporary one is removed.
// A durable server ends its transactions and checkpoints first; when ctx ends
// before that is done, it is stopped at once and recovers at its next start.
// Stop may be repeated.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.halt(func(p *process) {
		if s.opts.Temporary {
			p.kill()
		} else {
			p.stop(ctx, signalFast)
		}
	})
	if err := s.release(); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return nil
}

// halt leaves the server down. REQUIRES: mu
func (s *Server) halt(how func(*process)) {
	if s.process != nil {
		how(s.process)
		s.process = nil
	}
}

// release gives the directory back. It removes a temporary one before it drops
// the lock, so that no other process sweeps the same files.
func (s *Server) release() error {
	var errs []error
	if s.ownSocket {
		errs = append(errs, os.RemoveAll(s.socketDir))
	}
	if s.dir.lock == nil {
		return errors.Join(errs...)
	}
	if s.opts.Temporary {
		errs = append(errs, os.RemoveAll(s.dir.path))
	} else {
		errs = append(errs, s.dir.note("")) // nothing to Attach to any more
	}
	return errors.Join(append(errs, s.dir.lock.Close())...)
}

// String names the server in logs: its version and directory.
func (s *Server) String() string {
	return "PostgreSQL " + s.binaries.version + " in " + strconv.Quote(s.dir.path)
}
