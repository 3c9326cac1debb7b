package main

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

// telemetry is what a long-running process tells of itself: metrics for whoever
// scrapes them, and traces if OpenTelemetry's variables ask for them.
type telemetry struct {
	log      *zap.Logger
	metrics  *metrics.Metrics
	provider trace.TracerProvider  // nil: no traces
	tracing  *penstockotel.Tracing // nil: no traces
	stop     func(context.Context) error
}

func newTelemetry(ctx context.Context, d *deps, log *zap.Logger) (*telemetry, error) {
	t := &telemetry{log: log, metrics: metrics.New(buildVersion())}
	if !metrics.TracingWanted(d.variable) {
		return t, nil
	}
	provider, stop, err := metrics.StartTracing(ctx, d.variable, buildVersion(), func(err error) {
		log.Warn("traces are not delivered", zap.Error(err))
	})
	if err != nil {
		return nil, usagef("%w", err)
	}
	t.provider, t.stop = provider, stop
	t.tracing = penstockotel.New(penstockotel.Config{TracerProvider: provider})
	log.Info("tracing", zap.String("by", "OTEL_ variables"))
	return t, nil
}

// client is a client of pool whose doings are told.
func (t *telemetry) client(pool *pgxpool.Pool, log *zap.Logger) (*penstock.Client, error) {
	cfg := penstock.Config{Logger: libraryLogger(log), Hooks: t.metrics.Hooks()}
	if t.tracing != nil {
		cfg.Hooks = cfg.Hooks.And(t.tracing.Hooks())
		cfg.EnqueueMiddleware = []penstock.EnqueueMiddleware{t.tracing.Enqueue}
	}
	return penstock.NewClient(pool, cfg)
}

// middleware is what a worker's handlers run in.
func (t *telemetry) middleware() []penstock.Middleware {
	if t.tracing == nil {
		return nil
	}
	return []penstock.Middleware{t.tracing.Attempt}
}

// traced is the API with a span for each request, if traces are wanted.
func (t *telemetry) traced(e *echo.Echo) http.Handler {
	if t.provider == nil {
		return e
	}
	return httpapi.Traced(e, t.provider)
}

// scraped is what answers scrapes: this process, its pool, and the queues as client sees
// them. It may be called once.
func (t *telemetry) scraped(client *penstock.Client, pool *pgxpool.Pool) http.Handler {
	t.metrics.WatchPool(pool)
	t.metrics.WatchQueues(client)
	return t.metrics.Handler()
}

// close delivers the traces that are left.
func (t *telemetry) close() {
	if t.stop == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	if err := t.stop(ctx); err != nil {
		t.log.Warn("traces are not delivered", zap.Error(err))
	}
}
