package httpapi

import (
	"context"
	"slices"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// every is how a path says every queue.
const every = "*"

// someQueue is a path's queue as the library takes it: empty is every one.
func someQueue(queue string) string {
	if queue == every {
		return ""
	}
	return queue
}

// ListQueues lists queues.
func (h *handlers) ListQueues(ctx context.Context, r openapi.ListQueuesRequestObject) (openapi.ListQueuesResponseObject, error) {
	queues, err := h.client(ctx).Queues.List(ctx)
	queues = slices.DeleteFunc(queues, func(q penstock.QueueInfo) bool { return !sees(ctx, q.Queue) })
	page, next := queuePage(queues, func(q penstock.QueueInfo) string { return q.Queue }, r.Params.Limit, r.Params.Cursor)
	return openapi.ListQueues200JSONResponse{Items: page, Next: next}, err
}

// GetQueue returns a queue's settings and counts.
func (h *handlers) GetQueue(ctx context.Context, r openapi.GetQueueRequestObject) (openapi.GetQueueResponseObject, error) {
	queue, err := h.client(ctx).Queues.Get(ctx, r.QueueName)
	return openapi.GetQueue200JSONResponse(queue), err
}

// SetQueue changes a queue's settings.
func (h *handlers) SetQueue(ctx context.Context, r openapi.SetQueueRequestObject) (openapi.SetQueueResponseObject, error) {
	client := h.client(ctx)
	err := client.Queues.Set(ctx, r.QueueName, penstock.QueueChange{DefaultPriority: r.Body.DefaultPriority, Aging: r.Body.Aging})
	if err != nil {
		return nil, err
	}
	queue, err := client.Queues.Get(ctx, r.QueueName)
	return openapi.SetQueue200JSONResponse(queue), err
}

// PauseQueue pauses a queue.
func (h *handlers) PauseQueue(ctx context.Context, r openapi.PauseQueueRequestObject) (openapi.PauseQueueResponseObject, error) {
	client := h.client(ctx)
	if err := client.Queues.Pause(ctx, r.QueueName); err != nil {
		return nil, err
	}
	queue, err := client.Queues.Get(ctx, r.QueueName)
	return openapi.PauseQueue200JSONResponse(queue), err
}

// ResumeQueue resumes a paused queue.
func (h *handlers) ResumeQueue(ctx context.Context, r openapi.ResumeQueueRequestObject) (openapi.ResumeQueueResponseObject, error) {
	client := h.client(ctx)
	if err := client.Queues.Resume(ctx, r.QueueName); err != nil {
		return nil, err
	}
	queue, err := client.Queues.Get(ctx, r.QueueName)
	return openapi.ResumeQueue200JSONResponse(queue), err
}
