package server

import (
	"context"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi"
	"github.com/penstock/penstock/internal/metrics"
	"github.com/penstock/penstock/penstockotel"
)

// flushPatience bounds how long an ending process waits for its traces' collector.
const flushPatience = 5 * time.Second

// Telemetry is what a long-running process reports: metrics for scrapes, and traces if
// OpenTelemetry's variables ask for them.
type Telemetry struct {
	log      *zap.Logger
	Metrics  *metrics.Metrics
	provider trace.TracerProvider  // nil: no traces
	tracing  *penstockotel.Tracing // nil: no traces
	stop     func(context.Context) error
}

// NewTelemetry reads OpenTelemetry's variables through getenv. Errors: settingsError, when they
// name an exporter that there is not.
func NewTelemetry(ctx context.Context, getenv func(string) string, log *zap.Logger, version string) (*Telemetry, error) {
	t := &Telemetry{log: log, Metrics: metrics.New(version)}
	if !metrics.TracingWanted(getenv) {
		return t, nil
	}
	provider, stop, err := metrics.StartTracing(ctx, getenv, version, func(err error) {
		log.Warn("traces are not delivered", zap.Error(err))
	})
	if err != nil {
		return nil, SettingsError{err}
	}
	t.provider, t.stop = provider, stop
	t.tracing = penstockotel.New(penstockotel.Config{TracerProvider: provider})
	log.Info("tracing", zap.String("by", "OTEL_ variables"))
	return t, nil
}

// Client is a client of pool with metrics, and with traces if they are wanted.
func (t *Telemetry) Client(pool *pgxpool.Pool, log *zap.Logger) (*penstock.Client, error) {
	cfg := penstock.Config{Logger: LibraryLogger(log), Hooks: t.Metrics.Hooks()}
	if t.tracing != nil {
		cfg.Hooks = cfg.Hooks.And(t.tracing.Hooks())
		cfg.EnqueueMiddleware = []penstock.EnqueueMiddleware{t.tracing.Enqueue}
	}
	return penstock.NewClient(pool, cfg)
}

// Middleware is what a worker's handlers run in.
func (t *Telemetry) Middleware() []penstock.Middleware {
	if t.tracing == nil {
		return nil
	}
	return []penstock.Middleware{t.tracing.Attempt}
}

// traced is the API with a span for each request, if traces are wanted.
func (t *Telemetry) traced(e *echo.Echo) http.Handler {
	if t.provider == nil {
		return e
	}
	return httpapi.Traced(e, t.provider)
}

// scraped is what answers scrapes: this process, its pool, and the queues as client sees
// them. It may be called once.
func (t *Telemetry) scraped(client *penstock.Client, pool *pgxpool.Pool) http.Handler {
	t.Metrics.WatchPool(pool)
	t.Metrics.WatchQueues(client)
	return t.Metrics.Handler()
}

// Close delivers the traces that are left.
func (t *Telemetry) Close() {
	if t.stop == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	if err := t.stop(ctx); err != nil {
		t.log.Warn("traces are not delivered", zap.Error(err))
	}
}
