package httpapi

import (
	"context"
	"strconv"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// StartRedrive begins an operation.
func (h *handlers) StartRedrive(ctx context.Context, r openapi.StartRedriveRequestObject) (openapi.StartRedriveResponseObject, error) {
	client := h.client(ctx)
	id, err := client.DLQ.Redrive(ctx, penstock.RedriveRequest{
		Queue: r.QueueName, Filter: r.Body.Filter, Rate: r.Body.Rate, Canary: r.Body.Canary,
		CanaryShare: r.Body.CanaryShare, MaxGeneration: r.Body.MaxGeneration,
	})
	if err != nil {
		return nil, err
	}
	redrive, err := client.DLQ.GetRedrive(ctx, id)
	return openapi.StartRedrive201JSONResponse{
		Body:    redrive,
		Headers: openapi.StartRedrive201ResponseHeaders{Location: "/api/v1/redrives/" + strconv.FormatInt(id, 10)},
	}, err
}

// ListRedrives lists operations.
func (h *handlers) ListRedrives(ctx context.Context, r openapi.ListRedrivesRequestObject) (openapi.ListRedrivesResponseObject, error) {
	if err := mayAsk(ctx, r.Params.QueueName); err != nil {
		return nil, err
	}
	redrives, err := h.client(ctx).DLQ.ListRedrives(ctx, r.Params.QueueName, r.Params.Limit)
	return openapi.ListRedrives200JSONResponse{Items: orEmpty(redrives)}, err
}

// GetRedrive returns an operation and its progress.
func (h *handlers) GetRedrive(ctx context.Context, r openapi.GetRedriveRequestObject) (openapi.GetRedriveResponseObject, error) {
	redrive, err := h.redrive(ctx, r.RedriveId)
	return openapi.GetRedrive200JSONResponse(redrive), err
}

// PauseRedrive pauses an operation.
func (h *handlers) PauseRedrive(ctx context.Context, r openapi.PauseRedriveRequestObject) (openapi.PauseRedriveResponseObject, error) {
	redrive, err := h.steered(ctx, r.RedriveId, penstock.DLQClient.PauseRedrive)
	return openapi.PauseRedrive200JSONResponse(redrive), err
}

// ResumeRedrive resumes an operation.
func (h *handlers) ResumeRedrive(ctx context.Context, r openapi.ResumeRedriveRequestObject) (openapi.ResumeRedriveResponseObject, error) {
	redrive, err := h.steered(ctx, r.RedriveId, penstock.DLQClient.ResumeRedrive)
	return openapi.ResumeRedrive200JSONResponse(redrive), err
}

// CancelRedrive cancels an operation.
func (h *handlers) CancelRedrive(ctx context.Context, r openapi.CancelRedriveRequestObject) (openapi.CancelRedriveResponseObject, error) {
	redrive, err := h.steered(ctx, r.RedriveId, penstock.DLQClient.CancelRedrive)
	return openapi.CancelRedrive200JSONResponse(redrive), err
}

// steered is the operation after a command to it.
func (h *handlers) steered(ctx context.Context, id int64, steer func(penstock.DLQClient, context.Context, int64) (string, error)) (penstock.Redrive, error) {
	if _, err := h.redrive(ctx, id); err != nil {
		return penstock.Redrive{}, err
	}
	client := h.client(ctx)
	if _, err := steer(client.DLQ, ctx, id); err != nil {
		return penstock.Redrive{}, err
	}
	return client.DLQ.GetRedrive(ctx, id)
}

// redrive is an operation that the caller may see.
func (h *handlers) redrive(ctx context.Context, id int64) (penstock.Redrive, error) {
	redrive, err := h.client(ctx).DLQ.GetRedrive(ctx, id)
	if err == nil {
		err = maySee(ctx, redrive.Queue, penstock.ErrRedriveNotFound)
	}
	return redrive, err
}
