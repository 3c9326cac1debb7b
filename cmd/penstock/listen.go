package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi"
	"github.com/penstock/penstock/internal/postgres"
)

// listen opens what the settings ask to be served.
func (s *server) listen(ctx context.Context) (err error) {
	if !s.cfg.API && !s.cfg.Maintenance && s.cfg.AdminListen == "" {
		return usagef("serve: --api and --maintenance are both off, and so there is nothing to do")
	}
	if s.cfg.TLSCert != "" {
		if s.tls, err = httpapi.TLS(s.cfg.TLSCert, s.cfg.TLSKey); err != nil {
			return usageError{error: err}
		}
	}
	if s.cfg.API {
		if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen); err != nil {
			return fmt.Errorf("%w: choose another address with --listen", err)
		}
		s.url = s.baseURL(s.listener.Addr())
	}
	if s.cfg.AdminListen != "" {
		if s.admin, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.AdminListen); err != nil {
			return fmt.Errorf("%w: choose another address with --admin-listen", err)
		}
	}
	return nil
}

// errNoTokens is why a server that others can reach does not start.
var errNoTokens = errors.New("this address can be reached from elsewhere, and there is no token yet")

// checkExposure keeps a server without tokens on loopback, where none are asked for.
func (s *server) checkExposure(ctx context.Context) error {
	if s.listener == nil || onLoopback(s.listener) {
		return nil
	}
	all, err := s.client.Tokens.List(ctx)
	if err != nil {
		return err
	}
	if len(all.Tokens) == 0 {
		return fmt.Errorf("listen on %s: %w", s.listener.Addr(), errNoTokens)
	}
	return nil
}

func onLoopback(l net.Listener) bool {
	addr, ok := l.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// listeners are what serves each open listener until its context ends. They own them
// from now on.
func (s *server) listeners() (all []func(context.Context) error, err error) {
	deps, err := s.withPools(httpapi.Deps{
		Client: s.client, Remote: s.remote, Log: s.log, Ready: s.ready, TokenRate: s.cfg.TokenRate, MaxDepth: s.cfg.MaxDepth,
	})
	if err != nil {
		return nil, err
	}
	cfg := httpapi.ServeConfig{Announce: s.cfg.Announce, TLS: s.tls, Log: s.log}
	serve := func(l net.Listener, handler http.Handler) {
		all = append(all, func(ctx context.Context) error { return httpapi.Serve(ctx, l, handler, cfg) })
	}
	if s.listener != nil {
		deps.Loopback = onLoopback(s.listener)
		serve(s.listener, s.telling.traced(httpapi.New(deps)))
		s.listener = nil
	}
	if s.admin != nil {
		deps.Loopback = onLoopback(s.admin)
		serve(s.admin, httpapi.NewAdmin(deps, s.telling.scraped(s.client, s.pool)))
		s.admin = nil
	}
	return all, nil
}

// serveAdmin serves a worker's metrics and profiles until stop, which is to be called
// once the worker has drained: its last minutes are worth a scrape.
func serveAdmin(ctx context.Context, address string, telling *telemetry, client *penstock.Client, pool *pgxpool.Pool) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: choose another address with --admin-listen", err)
	}
	handler := httpapi.NewAdmin(httpapi.Deps{
		Client: client, Log: telling.log, Loopback: onLoopback(listener),
		Ready: func(ctx context.Context) error { return postgres.Check(ctx, pool) },
	}, telling.scraped(client, pool))
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := httpapi.Serve(serving, listener, handler, httpapi.ServeConfig{Log: telling.log}); err != nil {
			telling.log.Error("metrics are not served any more", zap.Error(err))
		}
	}()
	telling.log.Info("metrics and profiles", zap.String("listen", listener.Addr().String()))
	return func() { end(); <-done }, nil
}

// baseURL is where a client on this machine reaches the address.
func (s *server) baseURL(addr net.Addr) string {
	scheme := "http://"
	if s.tls != nil {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return scheme + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, port)
}
