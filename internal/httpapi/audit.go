package httpapi

import (
	"context"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// GetAuditLog lists who changed what.
func (h *handlers) GetAuditLog(ctx context.Context, r openapi.GetAuditLogRequestObject) (openapi.GetAuditLogResponseObject, error) {
	if err := mayAsk(ctx, r.Params.QueueName); err != nil {
		return nil, err
	}
	page, err := h.client(ctx).Audit.List(ctx, penstock.AuditQuery{Queue: r.Params.QueueName, Limit: r.Params.Limit, Cursor: r.Params.Cursor})
	return openapi.GetAuditLog200JSONResponse(page), err
}
