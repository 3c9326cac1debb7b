package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestARequestHasASpanNamedByItsRouteAndChildOfTheCallers(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	e := echo.New()
	var inside trace.SpanContext
	e.GET("/queues/:queue", func(c echo.Context) error {
		inside = trace.SpanContextFromContext(c.Request().Context())
		return c.NoContent(http.StatusNoContent)
	})
	e.GET("/healthz", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	handler := Traced(e, provider)
	for _, path := range []string{"/queues/mail?token=secret", "/healthz"} {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}
	spans := exporter.GetSpans()
	require.Len(t, spans, 1, "probes have none")
	require.Equal(t, "GET /queues/:queue", spans[0].Name)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", spans[0].SpanContext.TraceID().String())
	require.Equal(t, "b7ad6b7169203331", spans[0].Parent.SpanID().String())
	require.Equal(t, spans[0].SpanContext.SpanID(), inside.SpanID(), "handlers work inside it")
	attributes := map[string]string{}
	for _, a := range spans[0].Attributes {
		attributes[string(a.Key)] = a.Value.String()
		require.NotContains(t, a.Value.String(), "secret")
	}
	require.Equal(t, "/queues/:queue", attributes["http.route"])
}
