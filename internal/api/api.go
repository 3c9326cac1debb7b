// Package api serves Penstock over HTTP. Handlers translate: a request into a call of
// the library, its answer into the shapes that openapi.yaml states. problem.go alone
// turns errors into status codes.
//
// A request passes, in this order: its id, the access log, the catching of panics, the
// generated router, a handler. When a handler fails, the client reads an RFC 9457
// problem with the request's id, and the log has the whole story under the same id.
package api

import (
	"context"

	"github.com/labstack/echo/v4"
	"github.com/labstack/gommon/log"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/api/openapi"
)

// Deps is what the handlers stand on.
type Deps struct {
	Log    *zap.Logger      // nil logs nothing
	Client *penstock.Client // what the operations call

	// Ready reports whether Postgres answers and its schema fits this binary; its error
	// goes to the log and never to the client. nil means always ready.
	Ready func(ctx context.Context) error
}

// New builds the handler of the whole API and starts nothing; hand it to Serve.
func New(deps Deps) *echo.Echo {
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	if deps.Ready == nil {
		deps.Ready = func(context.Context) error { return nil }
	}

	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetLevel(log.OFF) // one log: zap's
	// Forwarding headers are the client's to forge; the peer's address is not.
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = problemHandler(deps.Log)
	e.Pre(seedPaths)
	e.Use(requestID, accessLog(deps.Log), catchPanic)

	openapi.RegisterHandlers(e, openapi.NewStrictHandler(&handlers{deps}, nil))
	return e
}

// client is the library on behalf of whoever sent the request.
func (h *handlers) client(context.Context) *penstock.Client { return h.Client }

// handlers implements every operation of openapi.yaml, one file per tag.
type handlers struct {
	Deps
}
