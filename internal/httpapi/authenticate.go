package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

var (
	// errForeignHost: without tokens the server must not be fooled by a name that an
	// attacker's page made point to loopback.
	errForeignHost = errors.New("asked by a name that is not loopback's")
	errCrossOrigin = errors.New("written to by a page of another origin")
	// errProxied: behind a reverse proxy every client seems to be on loopback.
	errProxied = errors.New("came through a proxy, and there is no token")
)

// identify finds out who asks. A server on loopback asks for no token until there is one.
func (s *service) identify(r *http.Request, op *validate.Operation) (*caller, error) {
	if err := s.origin.Check(r); err != nil {
		return nil, errCrossOrigin
	}
	if s.roles[op.ID] == public {
		return &caller{role: public}, nil
	}
	if s.Loopback && r.Header.Get(echo.HeaderAuthorization) == "" {
		none, err := s.tokens.none(r.Context())
		switch {
		case err != nil:
			return nil, err
		case none && proxied(r):
			return nil, errProxied
		case none && !isLoopback(r.Host):
			return nil, errForeignHost
		case none:
			return anyone, nil
		}
	}
	token, err := s.tokens.admit(r.Context(), r)
	if err != nil {
		return nil, err
	}
	who := callerOf(token)
	who.recheck = func(ctx context.Context) error {
		_, err := s.tokens.admit(ctx, r)
		return err
	}
	return who, nil
}

func callerOf(t *penstock.Token) *caller {
	return &caller{id: t.ID, name: "token:" + t.Name, role: roleNames[t.Role], covers: t.Covers, everywhere: len(t.Queues) == 0}
}

// proxyHeaders are what reverse proxies add to the requests they pass on.
var proxyHeaders = []string{
	"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-Ip",
}

// proxied reports whether a request came through a proxy that says so.
func proxied(r *http.Request) bool {
	return slices.ContainsFunc(proxyHeaders, func(name string) bool { return len(r.Header.Values(name)) > 0 })
}

// isLoopback reports whether a Host header names this machine itself.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(trimBrackets(host))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// slowDown refuses for a while; wait says for how long.
type slowDown struct {
	error
	wait time.Duration
}

func (e slowDown) Unwrap() error { return e.error }

var errRate = errors.New("the token's rate is used up")

// spend takes one request from what the caller's token may send.
func (s *service) spend(who *caller) error {
	if who.id == "" {
		return nil
	}
	if r := s.tokens.limiter(who.id).Reserve(); r.Delay() > 0 {
		wait := r.Delay()
		r.Cancel()
		return slowDown{errRate, wait}
	}
	return nil
}
