package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/penstock/penstock/internal/httpapi"
)

// listen opens what the settings ask to be served.
func (s *Server) listen(ctx context.Context) (err error) {
	if !s.cfg.API && !s.cfg.Maintenance && s.cfg.AdminListen == "" {
		return SettingsError{errors.New("--api and --maintenance are both off: there is nothing to serve")}
	}
	if s.cfg.TLSCert != "" {
		if s.tls, err = httpapi.TLS(s.cfg.TLSCert, s.cfg.TLSKey); err != nil {
			return SettingsError{err}
		}
	}
	if s.cfg.API {
		if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen); err != nil {
			return fmt.Errorf("%w: choose another address with --listen", err)
		}
		s.URL = s.baseURL(s.listener.Addr())
	}
	if s.cfg.AdminListen != "" {
		if s.admin, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.AdminListen); err != nil {
			return fmt.Errorf("%w: choose another address with --admin-listen", err)
		}
		s.adminURL = s.baseURL(s.admin.Addr())
	}
	return nil
}

// noTokensError is why a server that other machines can reach does not start.
type noTokensError struct{ listen string }

func (e noTokensError) Error() string {
	return "listen on " + e.listen + ": other machines can reach this address, and there is no token yet"
}

func (e noTokensError) Remedy() string {
	return "Create the first token; its secret is shown once: penstock token create NAME --role admin\n" +
		"  In a container: docker run --rm -e DATABASE_URL=… penstock token create NAME --role admin\n" +
		"  Or listen on loopback only, where no token is needed: --listen 127.0.0.1:8080"
}

// checkExposure keeps a server without tokens on loopback.
func (s *Server) checkExposure(ctx context.Context) error {
	if s.listener == nil || onLoopback(s.listener) {
		return nil
	}
	all, err := s.client.Tokens.List(ctx)
	if err != nil {
		return err
	}
	if len(all.Tokens) == 0 {
		return noTokensError{s.listener.Addr().String()}
	}
	return nil
}

func onLoopback(l net.Listener) bool {
	addr, ok := l.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// listeners are what serves each open listener until its context ends. They own them
// from now on.
func (s *Server) listeners() (all []func(context.Context) error, err error) {
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
		serve(s.listener, s.reports.traced(httpapi.New(deps)))
		s.listener = nil
	}
	if s.admin != nil {
		deps.Loopback = onLoopback(s.admin)
		serve(s.admin, httpapi.NewAdmin(deps, s.reports.scraped(s.client, s.pool)))
		s.admin = nil
	}
	return all, nil
}

// baseURL is where a client on this machine reaches the address.
func (s *Server) baseURL(addr net.Addr) string {
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
