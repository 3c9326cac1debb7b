package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/penstock/penstock"
)

// gate lets a request through to its handler once it is known who asks, that they may,
// and that the request is as openapi.yaml describes it. In this order: nothing of a
// body is read for someone who may not send it.
func (s *service) gate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := s.contract.find(c.Request().Method, c.Path())
		if op == nil {
			return next(c) // to Echo's own refusal, or a page that is not an operation
		}
		who, err := s.identify(c.Request(), op)
		if err != nil {
			return err
		}
		if err := s.authorize(c, op, who); err != nil {
			return err
		}
		if err := s.spend(who); err != nil {
			return err
		}
		if err := op.checkParameters(c); err != nil {
			return err
		}
		body, done, err := s.intake.take(c, op)
		defer done()
		if err != nil {
			return err
		}
		if err := s.depths.check(c, op); err != nil {
			return err
		}
		x := &exchange{operation: op, caller: who}
		if s.Client != nil {
			x.client = s.Client.As(who.name)
		}
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), exchangeKey{}, x)))
		if key := c.Request().Header.Get(idempotencyKey); key != "" && op.method == http.MethodPost && x.client != nil {
			return once(c, x, key, body, next)
		}
		return next(c)
	}
}

var (
	// errForeignHost: without tokens the server must not be fooled by a name that an
	// attacker's page made point to loopback.
	errForeignHost = errors.New("asked by a name that is not loopback's")
	errCrossOrigin = errors.New("written to by a page of another origin")
)

// identify finds out who asks. A server on loopback asks for no token until there is one.
func (s *service) identify(r *http.Request, op *operation) (*caller, error) {
	if err := s.origin.Check(r); err != nil {
		return nil, errCrossOrigin
	}
	if s.roles[op.id] == public {
		return &caller{role: public}, nil
	}
	if s.Loopback && r.Header.Get(echo.HeaderAuthorization) == "" {
		none, err := s.keyring.none(r.Context())
		switch {
		case err != nil:
			return nil, err
		case none && !isLoopback(r.Host):
			return nil, errForeignHost
		case none:
			return anyone, nil
		}
	}
	token, err := s.keyring.admit(r.Context(), r)
	if err != nil {
		return nil, err
	}
	return callerOf(token), nil
}

func callerOf(t *penstock.Token) *caller {
	return &caller{id: t.ID, name: "token:" + t.Name, role: roleNames[t.Role], covers: t.Covers, everywhere: len(t.Queues) == 0}
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
	if r := s.keyring.limiter(who.id).Reserve(); r.Delay() > 0 {
		wait := r.Delay()
		r.Cancel()
		return slowDown{errRate, wait}
	}
	return nil
}
