package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Traced is e with a span for each request but the probes, a child of the caller's if
// the request names one (traceparent), and named by the route. What a handler enqueues
// belongs to it. Deps ask nothing of tracing: who does not want it leaves this out.
func Traced(e *echo.Echo, provider trace.TracerProvider) http.Handler {
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc { // the route is known only now
		return func(c echo.Context) error {
			if route := c.Path(); route != "" {
				span := trace.SpanFromContext(c.Request().Context())
				span.SetName(c.Request().Method + " " + route)
				span.SetAttributes(semconv.HTTPRoute(route))
			}
			return next(c)
		}
	})
	return otelhttp.NewHandler(e, "HTTP",
		otelhttp.WithTracerProvider(provider),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithFilter(func(r *http.Request) bool { return r.URL.Path != "/healthz" && r.URL.Path != "/readyz" }),
	)
}
