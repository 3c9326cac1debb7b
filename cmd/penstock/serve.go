package main

import (
	"context"
	"crypto/tls"
	"errors"
	"github.com/penstock/penstock/internal/remote"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/lab/demo"
	"github.com/penstock/penstock/internal/maintain"
	"github.com/penstock/penstock/internal/postgres"
)

const (
	// startPatience is how long serve waits for a database that does not answer yet,
	// as when both are started at once.
	startPatience = 30 * time.Second
	// stopPatience bounds the private server's own shutdown, which then recovers at
	// its next start.
	stopPatience = 30 * time.Second
	// collectPercent is Go's GOGC, unless the environment says. A server's heap is small and
	// its requests many: with the usual 100 a sixth of its time went into collecting.
	collectPercent = 400
)

func newServe(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: the HTTP API and the queue's upkeep",
		Long: `Run the server: the HTTP API and the queue's upkeep, which buries dead workers, makes
and drops partitions and ends what expired. It uses DATABASE_URL, or starts a private
PostgreSQL that keeps its data, and applies missing migrations first.

Until there is a token ("penstock token create") it serves HTTP on loopback only, and asks
for none there. Elsewhere every request but a probe needs one.

SIGINT or SIGTERM drains it; a second signal ends it at once.`,
		Args: cobra.NoArgs,
	}
	config.Bind(cmd.Flags(), config.DatabaseURL, config.DataDir, config.Listen, config.API, config.Maintenance,
		config.AdminListen, config.TLSCert, config.TLSKey, config.TokenRate, config.MaxDepth, config.Announce,
		config.LogLevel, config.LogFormat, config.Demo, config.DemoSource)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := d.load(cmd)
		if err != nil {
			return err
		}
		return runServe(cmd.Context(), d, cfg)
	}
	return cmd
}

// server is what runServe has opened so far.
type server struct {
	d        *deps
	cfg      config.Config
	log      *zap.Logger
	listener net.Listener // of the API; nil without one
	admin    net.Listener // of metrics and profiles; nil without one
	tls      *tls.Config  // nil without one
	url      string       // of the API, for this machine; empty without one
	telling  *telemetry
	client   *penstock.Client
	remote   *remote.Engine // for the workers behind the API
	database *postgres.Database
	pool     *pgxpool.Pool // of ordinary requests
	pools    serverPools
	applied  []int64
}

func runServe(ctx context.Context, d *deps, cfg config.Config) (err error) {
	s := &server{d: d, cfg: cfg, log: newLogger(d, cfg)}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(collectPercent)
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	d.interrupts.stopped(func() {
		s.log.Info("draining: requests and jobs under way go on to their end, a second signal ends at once")
	})
	admin := ""
	if s.admin != nil {
		admin = s.baseURL(s.admin.Addr())
	}
	s.log.Info("serving", zap.String("listen", s.url), zap.String("admin", admin), zap.String("version", buildVersion()),
		zap.Bool("private_postgres", s.database.Server != nil), zap.Int64s("applied_migrations", s.applied))
	if cfg.LogFormat != "json" { // who asks for machine's logs gets nothing else
		if err := s.greet(ctx); err != nil {
			return err
		}
	}
	return s.run(ctx)
}

// open gets everything that can fail early, the cheapest to fail first.
func (s *server) open(ctx context.Context) (err error) {
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
	if s.telling, err = newTelemetry(ctx, s.d, s.log); err != nil {
		return err
	}
	if s.client, err = s.telling.client(s.pool, s.log); err != nil {
		return err
	}
	if s.remote, err = remote.New(s.client); err != nil {
		return err
	}
	return s.checkExposure(ctx)
}

// awaitDatabase opens the pool, and tries again for a while when nothing answers at
// the address or the server there is still starting.
func (s *server) awaitDatabase(ctx context.Context) (*pgxpool.Pool, error) {
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
func (s *server) migrate(ctx context.Context) error {
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
func (s *server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	errs := make(chan error, 3) // one for each part that can fail
	part := func(run func() error) {
		parts.Go(func() {
			err := run()
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
			maintain.Run(ctx, s.pools.maintenance, maintain.Config{Log: libraryLogger(s.log), Buried: s.telling.metrics.Buried})
		})
	}
	if s.cfg.Demo {
		part(func() error { return s.runDemo(ctx) })
	}
	parts.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// runDemo logs warnings only: hundreds of attempts fail by design, and their lines would
// tear the demo's own apart on a terminal.
func (s *server) runDemo(ctx context.Context) error {
	client, err := s.telling.client(s.pool, s.log.WithOptions(zap.IncreaseLevel(zap.WarnLevel)))
	if err != nil {
		return err
	}
	return demo.Run(ctx, s.pool, client, s.demoOptions(), s.d.stdout)
}

// ready is what /readyz asks.
func (s *server) ready(ctx context.Context) error { return postgres.Check(ctx, s.pools.system) }

// close gives back what open got, the last first. A private server stops last, and
// cleanly, because nothing is connected any more.
func (s *server) close() error {
	var errs []error
	for _, l := range []net.Listener{s.listener, s.admin} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	if s.telling != nil {
		s.telling.close()
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
