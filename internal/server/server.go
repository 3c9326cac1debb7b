// Package server runs what `penstock serve` runs: the HTTP API, the upkeep of the queues, and
// the listener for metrics and profiles, on DATABASE_URL or a private PostgreSQL.
//
// Run opens everything that can fail early, the cheapest first, and then serves until its
// context ends. It closes what it opened, the last first; a private PostgreSQL stops last.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/maintain"
	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/remote"
)

const (
	// startPatience is how long serve waits for a database that does not answer yet,
	// as when both are started at once.
	startPatience = 30 * time.Second
	// stopPatience bounds the private server's own shutdown, which then recovers at
	// its next start.
	stopPatience = 30 * time.Second
	// collectPercent is Go's GOGC, unless the environment sets it. A server has a small heap and
	// many requests: with the default of 100 it spent a sixth of its time collecting.
	collectPercent = 400
)

// Options are what the server needs besides its settings.
type Options struct {
	Config  config.Config
	Log     *zap.Logger
	Getenv  func(name string) string // for OpenTelemetry's variables
	Version string                   // of this binary

	// Ready is called once, when everything is open and before the first request is
	// answered. Its error ends the server. Nil: nothing.
	Ready func(ctx context.Context, s *Server) error

	// Alongside runs with the server, from Ready to the end of its context. Its error ends
	// the server; its return does not. Nil: nothing.
	Alongside func(ctx context.Context, s *Server) error
}

// SettingsError means that the settings contradict each other.
type SettingsError struct{ error }

func (e SettingsError) Unwrap() error { return e.error }

// Server is what run has opened so far.
type Server struct {
	options  Options
	cfg      config.Config
	log      *zap.Logger
	listener net.Listener // of the API; nil without one
	admin    net.Listener // of metrics and profiles; nil without one
	tls      *tls.Config  // nil without one
	URL      string       // of the API, for this machine; empty without one
	adminURL string       // of metrics and profiles; empty without one
	reports  *Telemetry
	client   *penstock.Client
	remote   *remote.Engine // for the workers behind the API
	database *postgres.Database
	pool     *pgxpool.Pool // of ordinary requests
	pools    serverPools
	applied  []int64
}

// Run serves until ctx ends or a part fails. Errors: SettingsError, noTokensError, and those
// of the database and of the listeners.
func Run(ctx context.Context, o Options) (err error) {
	s := &Server{options: o, cfg: o.Config, log: o.Log}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(collectPercent)
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	s.log.Info("serving", zap.String("listen", s.URL), zap.String("admin", s.adminURL), zap.String("version", o.Version),
		zap.Bool("private_postgres", s.database.Server != nil), zap.Int64s("applied_migrations", s.applied))
	if o.Ready != nil {
		if err := o.Ready(ctx, s); err != nil {
			return err
		}
	}
	return s.run(ctx)
}

// open gets everything that can fail early, the cheapest to fail first.
func (s *Server) open(ctx context.Context) (err error) {
	if err := s.listen(ctx); err != nil {
		return err
	}
	s.database, err = postgres.Resolve(ctx, s.cfg.DatabaseURL.Reveal(), postgres.Options{Dir: s.cfg.DataDir})
	if err != nil {
		return err
	}
	if s.pool, err = s.awaitDatabase(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.openPools(ctx); err != nil {
		return err
	}
	if s.reports, err = NewTelemetry(ctx, s.options.Getenv, s.log, s.options.Version); err != nil {
		return err
	}
	if s.client, err = s.reports.Client(s.pool, s.log); err != nil {
		return err
	}
	if s.remote, err = remote.New(s.client); err != nil {
		return err
	}
	return s.checkExposure(ctx)
}

// awaitDatabase opens the pool, and tries again for a while when nothing answers at
// the address or the server there is still starting.
func (s *Server) awaitDatabase(ctx context.Context) (*pgxpool.Pool, error) {
	giveUp := time.Now().Add(startPatience)
	for tries := 0; ; tries++ {
		pool, err := postgres.Open(ctx, s.database.URL, s.connections)
		if err == nil || !mayAppear(err) || time.Now().After(giveUp) {
			return pool, err
		}
		if tries == 0 {
			s.log.Warn("the database does not answer yet", zap.Duration("giving_up_after", startPatience), zap.Error(err))
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// mayAppear is true for an address where nobody listens yet, also behind a proxy that
// hangs up, and for a server that starts up, shuts down or is full, but not for one that
// has given another answer.
func mayAppear(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "57P03" || pg.Code == "57P01" || pg.Code == "53300"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	_, refused := errors.AsType[*net.OpError](err)
	_, unknown := errors.AsType[*net.DNSError](err)
	return refused || unknown
}

// migrate applies what is missing. A schema that fits already is left alone, so that
// the server's role need not own it.
func (s *Server) migrate(ctx context.Context) error {
	err := postgres.Check(ctx, s.pool)
	if !errors.Is(err, postgres.ErrSchemaOld) {
		return err
	}
	if s.applied, err = (postgres.Migrator{Pool: s.pool}).Up(ctx); err != nil {
		return err
	}
	return postgres.Check(ctx, s.pool) // a newer binary may have been faster
}

// run serves until ctx ends or a part fails, which ends the others.
func (s *Server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	errs := make(chan error, 3) // one for each part that can fail
	part := func(f func() error) {
		parts.Go(func() {
			err := f()
			errs <- err
			if err != nil {
				cancel()
			}
		})
	}

	withAPI := s.listener != nil
	listeners, err := s.listeners()
	if err != nil {
		return err
	}
	if withAPI {
		parts.Go(func() { s.remote.Run(ctx) })
	}
	for _, serve := range listeners {
		part(func() error { return serve(ctx) })
	}
	if s.cfg.Maintenance {
		parts.Go(func() {
			maintain.Run(ctx, s.pools.maintenance, maintain.Config{Log: LibraryLogger(s.log), Buried: s.reports.Metrics.Buried})
		})
	}
	if s.options.Alongside != nil {
		part(func() error { return s.options.Alongside(ctx, s) })
	}
	parts.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// ready is what /readyz asks.
func (s *Server) ready(ctx context.Context) error { return postgres.Check(ctx, s.pools.system) }

// close gives back what open got, the last first. A private server stops last, and
// cleanly, because nothing is connected any more.
func (s *Server) close() error {
	var errs []error
	for _, l := range []net.Listener{s.listener, s.admin} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	if s.reports != nil {
		s.reports.Close()
	}
	s.pools.close()
	if s.pool != nil {
		s.pool.Close()
	}
	if s.database != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		errs = append(errs, s.database.Close(ctx))
	}
	_ = s.log.Sync() // stderr has nothing to sync
	return errors.Join(errs...)
}
