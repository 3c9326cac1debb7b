package metrics

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

func environ(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestTracingIsWantedOnlyWhenAVariableSaysSo(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want bool
	}{
		{"nothing is set", nil, false},
		{"a service's name alone is no wish", map[string]string{"OTEL_SERVICE_NAME": "x"}, false},
		{"an endpoint is named", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, true},
		{"an endpoint for traces is named", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318"}, true},
		{"an exporter is named", map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		{"none wins over an endpoint", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, false},
		{"disabled wins over all", map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, false},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, TracingWanted(environ(c.env))) })
	}
}

func TestAnExporterThatIsNotThereIsRefusedByItsVariable(t *testing.T) {
	for variable, env := range map[string]map[string]string{
		"OTEL_TRACES_EXPORTER":        {"OTEL_TRACES_EXPORTER": "zipkin"},
		"OTEL_EXPORTER_OTLP_PROTOCOL": {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
	} {
		_, _, err := StartTracing(t.Context(), environ(env), "test", func(error) {})
		require.ErrorContains(t, err, variable)
		require.ErrorContains(t, err, "give")
	}
}

func TestSpansReachACollectorBeforeShutdownReturns(t *testing.T) {
	got := make(chan *collector.ExportTraceServiceRequest, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := &collector.ExportTraceServiceRequest{}
		if err == nil && proto.Unmarshal(body, request) == nil {
			got <- request
		}
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	provider, shutdown, err := StartTracing(t.Context(), environ(nil), "1.2.3", func(err error) { t.Error(err) })
	require.NoError(t, err)
	_, span := provider.Tracer("test").Start(t.Context(), "hello")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, shutdown(ctx))

	request := <-got
	require.Equal(t, "hello", request.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName())
	about := map[string]string{}
	for _, a := range request.GetResourceSpans()[0].GetResource().GetAttributes() {
		about[a.GetKey()] = a.GetValue().GetStringValue()
	}
	require.Equal(t, "penstock", about["service.name"])
	require.Equal(t, "1.2.3", about["service.version"])
	require.Equal(t, "test", about["deployment.environment.name"])
}
