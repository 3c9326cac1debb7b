package httpapi

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"

	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// NewAdmin builds the handler of the admin listener: /metrics for scrapers, Go's
// profiles under /debug/pprof/, and the probes, for servers that only maintain. Over loopback it asks for no token; elsewhere metrics
// take one of any role, and profiles, which show what the process holds in memory, an
// admin's.
func NewAdmin(deps Deps, metrics http.Handler) *echo.Echo {
	return newService(deps, openapi.Spec).adminRouter(metrics)
}

func (s *service) adminRouter(metrics http.Handler) *echo.Echo {
	e := s.bare()
	ask := func(needs role) echo.MiddlewareFunc {
		return func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				if err := s.admitAdmin(c.Request(), needs); err != nil {
					return err
				}
				return next(c)
			}
		}
	}
	probes := openapi.ServerInterfaceWrapper{Handler: openapi.NewStrictHandler(newHandlers(s.Deps), nil)}
	e.GET("/healthz", probes.GetHealthz)
	e.GET("/readyz", probes.GetReadyz)
	if metrics != nil {
		e.GET("/metrics", echo.WrapHandler(metrics), ask(anyRole))
	}
	profiles := e.Group("/debug/pprof", ask(admin))
	for path, handler := range map[string]http.HandlerFunc{
		"/cmdline": pprof.Cmdline, "/profile": pprof.Profile, "/symbol": pprof.Symbol, "/trace": pprof.Trace, "/*": pprof.Index,
	} {
		profiles.GET(path, echo.WrapHandler(handler))
	}
	return e
}

func (s *service) admitAdmin(r *http.Request, needs role) error {
	if s.Loopback && !proxied(r) {
		if !isLoopback(r.Host) {
			return errForeignHost
		}
		return nil
	}
	token, err := s.tokens.admit(r.Context(), r)
	if err != nil {
		return err
	}
	if callerOf(token).role&needs == 0 {
		return errForbidden
	}
	return nil
}
