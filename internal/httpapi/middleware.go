package httpapi

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	maxRequestID  = 64  // bytes of a client's own request id
	maxLoggedPath = 200 // bytes of a path in the access log
)

// requestID takes the client's X-Request-Id if it is plain, else makes one, and answers
// with it. Logs and problems carry it.
func requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !plainID(id) {
			id = rand.Text()
		}
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

// plainID reports whether id is 1–64 ASCII letters, digits, '.', '_' or '-': nothing
// that could forge a log line or a header.
func plainID(id string) bool {
	for _, r := range id {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
		default:
			return false
		}
	}
	return id != "" && len(id) <= maxRequestID
}

// idOf returns the id that requestID gave to the request.
func idOf(c echo.Context) string {
	return c.Response().Header().Get(echo.HeaderXRequestID)
}

// accessLog writes one line per request once its status is known. Queries, headers and
// bodies stay out of it: they may hold secrets and job data. Probes that succeed log at
// Debug, for there is one every few seconds.
func accessLog(log *zap.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			began := time.Now()
			if err := next(c); err != nil {
				c.Error(err) // answers now, so that the line below knows the status
			}
			line := log.Check(accessLevel(c), "http request")
			if line == nil {
				return nil
			}
			line.Write(
				zap.String("request_id", idOf(c)),
				zap.String("method", c.Request().Method),
				zap.String("route", c.Path()),
				zap.String("path", clip(c.Request().URL.Path)),
				zap.Int("status", c.Response().Status),
				zap.Int64("bytes", c.Response().Size),
				zap.Duration("duration", time.Since(began)),
				zap.String("remote_ip", c.RealIP()),
				zap.String("token", requestInfoOf(c.Request().Context()).caller.id),
			)
			return nil
		}
	}
}

// secure sets headers that keep browsers from running or embedding an answer. A page for
// browsers relaxes what it needs.
func secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Response().Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		if c.IsTLS() {
			header.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(c)
	}
}

func accessLevel(c echo.Context) zapcore.Level {
	probe := c.Path() == "/healthz" || c.Path() == "/readyz"
	if probe && c.Response().Status < http.StatusBadRequest {
		return zapcore.DebugLevel
	}
	return zapcore.InfoLevel
}

// clip bounds what one request may write into the log.
func clip(path string) string {
	if len(path) <= maxLoggedPath {
		return path
	}
	return path[:maxLoggedPath] + "…"
}

// panicError is a handler's panic on its way to problem.go.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// catchPanic turns a panic into an error, so that it costs one request and not the
// process. http.ErrAbortHandler passes: it is net/http's own way to drop a connection.
func catchPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch value := recover(); value {
			case nil:
			case http.ErrAbortHandler:
				panic(value)
			default:
				err = &panicError{value, debug.Stack()}
			}
		}()
		return next(c)
	}
}
