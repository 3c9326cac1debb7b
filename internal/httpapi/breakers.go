package httpapi

import (
	"context"
	"fmt"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// ListBreakers lists a queue's breakers and their states.
func (h *handlers) ListBreakers(ctx context.Context, r openapi.ListBreakersRequestObject) (openapi.ListBreakersResponseObject, error) {
	report, err := h.client(ctx).Breakers.List(ctx, r.QueueName)
	return openapi.ListBreakers200JSONResponse{Items: orEmpty(report.Settings), States: report.States}, err
}

// SetBreaker turns a breaker on.
func (h *handlers) SetBreaker(ctx context.Context, r openapi.SetBreakerRequestObject) (openapi.SetBreakerResponseObject, error) {
	client := h.client(ctx)
	err := client.Breakers.Set(ctx, penstock.Breaker{
		Queue: r.QueueName, Name: r.JobName, FailureShare: r.Body.FailureShare, LeastAttempts: r.Body.LeastAttempts,
		Span: r.Body.Span, CoolDown: r.Body.CoolDown,
	})
	if err != nil {
		return nil, err
	}
	report, err := client.Breakers.List(ctx, r.QueueName) // with the usual values where the request had none
	if err != nil {
		return nil, err
	}
	for _, b := range report.Settings {
		if b.Name == r.JobName {
			return openapi.SetBreaker200JSONResponse(b), nil
		}
	}
	return nil, fmt.Errorf("set breaker: %w: it was removed at the same time", penstock.ErrConflict)
}

// RemoveBreaker turns a breaker off.
func (h *handlers) RemoveBreaker(ctx context.Context, r openapi.RemoveBreakerRequestObject) (openapi.RemoveBreakerResponseObject, error) {
	err := h.client(ctx).Breakers.Remove(ctx, r.QueueName, r.JobName)
	return openapi.RemoveBreaker204Response{}, err
}
