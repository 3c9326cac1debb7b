package metrics

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// TracingWanted reports whether OpenTelemetry's variables ask for traces: an exporter
// is named, or an endpoint for one is, and nothing turns it off.
func TracingWanted(getenv func(string) string) bool {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	switch {
	case strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true"), exporter == "none":
		return false
	case exporter != "":
		return true
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// StartTracing makes the tracer provider that OpenTelemetry's variables describe, and
// makes it and the W3C propagators the global ones. The SDK reads the rest of the
// variables itself, from the process's environment: sampler, resource, headers, limits.
// shutdown exports what is left. Spans are exported in the background: a collector that
// is away costs spans and log lines, never a job.
// Errors name the variable and what is allowed. REQUIRES: TracingWanted.
func StartTracing(ctx context.Context, getenv func(string) string, version string, failed func(error)) (
	provider *trace.TracerProvider, shutdown func(context.Context) error, err error,
) {
	exporter, err := traceExporter(ctx, getenv)
	if err != nil {
		return nil, nil, err
	}
	// The later wins: what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say.
	about, err := resource.New(ctx, resource.WithHost(), resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("penstock"), semconv.ServiceVersion(version)), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, nil, fmt.Errorf("describe this process to OpenTelemetry: %w", err)
	}
	provider = trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(failed))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	return provider, provider.Shutdown, nil
}

func traceExporter(ctx context.Context, getenv func(string) string) (trace.SpanExporter, error) {
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "", "otlp":
	case "console":
		return stdouttrace.New()
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q will not do; give otlp, console or none", exporter)
	}
	protocol := getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	if protocol != "" && protocol != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q will not do; give http/protobuf, to a collector's port 4318", protocol)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("start the OTLP exporter: %w", err)
	}
	return exporter, nil
}
