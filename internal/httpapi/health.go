package httpapi

import (
	"context"
	"strings"
	"unicode"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// GetHealth returns a queue's health.
func (h *handlers) GetHealth(ctx context.Context, r openapi.GetHealthRequestObject) (openapi.GetHealthResponseObject, error) {
	health, err := h.client(ctx).Health.Queue(ctx, r.QueueName)
	return openapi.GetHealth200JSONResponse(health), err
}

// GetAllHealth returns the health of all queues; the caller must cover every queue.
func (h *handlers) GetAllHealth(ctx context.Context, r openapi.GetAllHealthRequestObject) (openapi.GetAllHealthResponseObject, error) {
	if err := mayAsk(ctx, ""); err != nil {
		return nil, err
	}
	all, err := h.client(ctx).Health.All(ctx)
	page := openapi.HealthPage{HealthOverview: all}
	page.Queues, page.Next = queuePage(all.Queues, func(q penstock.Health) string { return q.Queue }, r.Params.Limit, r.Params.Cursor)
	return openapi.GetAllHealth200JSONResponse(page), err
}

// ListHealthReports lists the reports that are kept.
func (h *handlers) ListHealthReports(ctx context.Context, r openapi.ListHealthReportsRequestObject) (openapi.ListHealthReportsResponseObject, error) {
	page, err := h.client(ctx).Health.Reports(ctx, penstock.HealthReportQuery{Queue: someQueue(r.QueueName), Limit: r.Params.Limit, Cursor: r.Params.Cursor})
	return openapi.ListHealthReports200JSONResponse(page), err
}

// GetHealthThresholds returns a queue's thresholds.
func (h *handlers) GetHealthThresholds(ctx context.Context, r openapi.GetHealthThresholdsRequestObject) (openapi.GetHealthThresholdsResponseObject, error) {
	thresholds, err := h.client(ctx).Health.Thresholds(ctx, r.QueueName)
	return openapi.GetHealthThresholds200JSONResponse(thresholds), err
}

// SetHealthThresholds changes a queue's thresholds.
func (h *handlers) SetHealthThresholds(ctx context.Context, r openapi.SetHealthThresholdsRequestObject) (openapi.SetHealthThresholdsResponseObject, error) {
	client, change := h.client(ctx), map[string]*float64{}
	for field, threshold := range *r.Body {
		change[snakeCase(field)] = threshold
	}
	if err := client.Health.SetThresholds(ctx, r.QueueName, change); err != nil {
		return nil, err
	}
	thresholds, err := client.Health.Thresholds(ctx, r.QueueName)
	return openapi.SetHealthThresholds200JSONResponse(thresholds), err
}

// snakeCase turns camelCase around.
func snakeCase(camel string) string {
	var snake strings.Builder
	for _, letter := range camel {
		if unicode.IsUpper(letter) {
			snake.WriteByte('_')
		}
		snake.WriteRune(unicode.ToLower(letter))
	}
	return snake.String()
}
