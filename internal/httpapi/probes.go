package httpapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// readyLimit bounds a readiness check: an orchestrator that waits longer than this
// counts the probe as failed anyway.
const readyLimit = 2 * time.Second

var errDraining = errors.New("the server is shutting down")

// GetHealthz answers as long as the process can.
func (h *handlers) GetHealthz(context.Context, openapi.GetHealthzRequestObject) (openapi.GetHealthzResponseObject, error) {
	return openapi.GetHealthz200JSONResponse{Status: openapi.Ok}, nil
}

// GetReadyz asks Deps.Ready, unless the server drains: then the answer is no at once.
func (h *handlers) GetReadyz(ctx context.Context, _ openapi.GetReadyzRequestObject) (openapi.GetReadyzResponseObject, error) {
	select {
	case <-Draining(ctx):
		return nil, fmt.Errorf("%w: %w", errNotReady, errDraining)
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	if err := h.Ready(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotReady, err)
	}
	return openapi.GetReadyz200JSONResponse{Status: openapi.Ready}, nil
}
