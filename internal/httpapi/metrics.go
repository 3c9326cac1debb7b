package httpapi

import (
	"context"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// usualWindow is what figures are about when the request does not say.
const usualWindow = time.Hour

func window(ms int64) time.Duration {
	if ms == 0 {
		return usualWindow
	}
	return time.Duration(ms) * time.Millisecond
}

// GetMetrics returns a queue's figures.
func (h *handlers) GetMetrics(ctx context.Context, r openapi.GetMetricsRequestObject) (openapi.GetMetricsResponseObject, error) {
	metrics, err := h.client(ctx).Metrics.Queue(ctx, r.QueueName, window(r.Params.Window))
	return openapi.GetMetrics200JSONResponse(metrics), err
}

// GetAllMetrics returns all queues' figures; the caller must cover every queue.
func (h *handlers) GetAllMetrics(ctx context.Context, r openapi.GetAllMetricsRequestObject) (openapi.GetAllMetricsResponseObject, error) {
	if err := mayAsk(ctx, ""); err != nil {
		return nil, err
	}
	metrics, err := h.client(ctx).Metrics.All(ctx, window(r.Params.Window))
	page := openapi.MetricsPage{AllMetrics: metrics}
	page.Queues, page.Next = queuePage(metrics.Queues, func(q penstock.QueueMetrics) string { return q.Queue }, r.Params.Limit, r.Params.Cursor)
	return openapi.GetAllMetrics200JSONResponse(page), err
}

// GetPerformance returns how long attempts took.
func (h *handlers) GetPerformance(ctx context.Context, r openapi.GetPerformanceRequestObject) (openapi.GetPerformanceResponseObject, error) {
	q := penstock.PerformanceQuery{Queue: r.QueueName, Name: r.Params.Name, From: r.Params.From, To: r.Params.To}
	if r.Params.Window != 0 || q.From.IsZero() {
		q.Window = window(r.Params.Window)
	}
	performance, err := h.client(ctx).Metrics.Performance(ctx, q)
	return openapi.GetPerformance200JSONResponse(performance), err
}

// GetHistory lists samples.
func (h *handlers) GetHistory(ctx context.Context, r openapi.GetHistoryRequestObject) (openapi.GetHistoryResponseObject, error) {
	q := penstock.HistoryQuery{Queue: someQueue(r.QueueName), From: r.Params.From, To: r.Params.To, Step: r.Params.Step}
	if q.From.IsZero() {
		q.From = time.Now().Add(-usualWindow)
	}
	samples, err := h.client(ctx).Metrics.History(ctx, q)
	return openapi.GetHistory200JSONResponse{Items: orEmpty(samples)}, err
}
