// Package httpapi serves Penstock over HTTP. Handlers translate: a request into a call of
// the library, its answer into the shapes that openapi.yaml states. problem.go alone
// turns errors into status codes.
//
// A request passes, in this order: its id, the access log, the catching of panics, the
// router, the gate (who asks, may they, is the request as openapi.yaml describes it), a
// handler. When one of them refuses or fails, the client reads an RFC 9457 problem with
// the request's id, and what the problem hides is in the log under the same id.
package httpapi

import (
	"context"
	"maps"
	"net/http"

	"github.com/penstock/penstock/internal/remote"

	"github.com/labstack/echo/v4"
	"github.com/labstack/gommon/log"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

// Deps is what the handlers stand on.
type Deps struct {
	Client *penstock.Client
	Log    *zap.Logger // nil logs nothing

	// The same library on pools of their own, which keep requests of one kind from
	// taking all connections; nil uses Client's. See pools.go.
	Reports *penstock.Client // requests that read or change much
	Keyed   *penstock.Client // requests with an Idempotency-Key
	System  *penstock.Client // what the server asks for itself: tokens, counts

	// Remote speaks for the workers behind the API; its Run is the caller's to run. nil
	// makes one that does not run: claims do not wait then.
	Remote *remote.Engine

	// Loopback says that the listener is on loopback: until there is a token, none is
	// asked for. Anywhere else nothing but the probes is answered without one.
	Loopback bool
	// TokenRate is how many requests a second one token may send, a second's worth at
	// once; 0 means 10,000. Each server counts for itself.
	TokenRate int
	// MaxDepth is how many jobs may wait in a queue before enqueueing over HTTP is
	// refused; 0 means any number.
	MaxDepth int

	// Ready reports whether Postgres answers and its schema fits this binary; its error
	// goes to the log and never to the client. nil means always ready.
	Ready func(ctx context.Context) error
}

// service is the API: what was given, and what was made of openapi.yaml.
type service struct {
	Deps
	description *validate.Description
	roles       map[string]role // by operation
	bodies      *bodyReader
	tokens      *tokenCache
	queueLimits *queueLimits
	origin      *http.CrossOriginProtection
}

const defaultTokenRate = 10_000

// New builds the handler of the whole API and starts nothing; hand it to Serve. It
// panics if openapi.yaml, which is part of the binary, cannot be read.
func New(deps Deps) *echo.Echo {
	s := newService(deps, openapi.Spec)
	e := s.router()
	openapi.RegisterHandlers(e, openapi.NewStrictHandler(newHandlers(s.Deps), nil))
	e.GET("/docs/*", serveDocsFile)
	return e
}

func newService(deps Deps, document []byte) *service {
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	if deps.Ready == nil {
		deps.Ready = func(context.Context) error { return nil }
	}
	if deps.TokenRate == 0 {
		deps.TokenRate = defaultTokenRate
	}
	for _, client := range []**penstock.Client{&deps.Reports, &deps.Keyed, &deps.System} {
		if *client == nil {
			*client = deps.Client
		}
	}
	if deps.Remote == nil && deps.Client != nil {
		remote, err := remote.New(deps.Client)
		if err != nil {
			panic(err)
		}
		deps.Remote = remote
	}
	description, err := validate.Read(document)
	if err != nil {
		panic(err)
	}
	return &service{
		deps, description, maps.Clone(roles), newBodyReader(), newTokenCache(deps.System, deps.Log, deps.TokenRate),
		&queueLimits{client: deps.System, most: deps.MaxDepth, queues: map[string]*depth{}}, http.NewCrossOriginProtection(),
	}
}

// router is all that a request passes before a handler.
func (s *service) router() *echo.Echo {
	e := s.bare()
	e.Use(s.checkRequest)
	return e
}

// bare is what any handler of ours stands behind.
func (s *service) bare() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetLevel(log.OFF) // one log: zap's
	// Forwarding headers are the client's to forge; the peer's address is not.
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = problemHandler(s.Log)
	e.Binder = jsonBinder{}
	e.Pre(legacyPaths)
	e.Use(requestID, accessLog(s.Log), catchPanic, secure)
	return e
}

// handlers implements every operation of openapi.yaml, one file per tag.
type handlers struct {
	Deps
	batches *semaphore.Weighted // jobs
}

func newHandlers(deps Deps) *handlers { return &handlers{deps, semaphore.NewWeighted(batchedAtOnce)} }
