package httpapi

import (
	"context"

	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// ListWorkers lists the running workers.
func (h *handlers) ListWorkers(ctx context.Context, r openapi.ListWorkersRequestObject) (openapi.ListWorkersResponseObject, error) {
	if err := mayAsk(ctx, r.Params.QueueName); err != nil {
		return nil, err
	}
	workers, err := h.client(ctx).Workers(ctx, r.Params.QueueName)
	return openapi.ListWorkers200JSONResponse{Items: workers}, err
}

// GetAuditLog lists who changed what.
func (h *handlers) GetAuditLog(ctx context.Context, r openapi.GetAuditLogRequestObject) (openapi.GetAuditLogResponseObject, error) {
	if err := mayAsk(ctx, r.Params.QueueName); err != nil {
		return nil, err
	}
	page, err := h.client(ctx).AuditLog(ctx, r.Params.QueueName, r.Params.Limit, r.Params.Cursor)
	return openapi.GetAuditLog200JSONResponse(page), err
}
