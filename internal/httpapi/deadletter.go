package httpapi

import (
	"context"
	"strconv"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// purgeAge is how old dead jobs are that a purge deletes which says nothing about it.
const purgeAge = 30 * 24 * time.Hour

// ListDeadJobs lists a page of the dead letter queue.
func (h *handlers) ListDeadJobs(ctx context.Context, r openapi.ListDeadJobsRequestObject) (openapi.ListDeadJobsResponseObject, error) {
	p := r.Params
	page, err := h.client(ctx).DLQ.List(ctx, penstock.DeadQuery{
		Queue: someQueue(r.QueueName), Limit: p.Limit, Cursor: p.Cursor,
		Filter: penstock.DeadFilter{
			Reason: p.Reason, Class: p.Class, Fingerprint: p.Fingerprint, Name: p.Name, Tag: p.Tag,
			FailedFrom: given(p.FailedFrom), FailedTo: given(p.FailedTo), CanRetry: p.CanRetry, Data: p.Data,
		},
	})
	return openapi.ListDeadJobs200JSONResponse(page), err
}

// GetDeadJob returns one entry.
func (h *handlers) GetDeadJob(ctx context.Context, r openapi.GetDeadJobRequestObject) (openapi.GetDeadJobResponseObject, error) {
	dead, err := h.client(ctx).DLQ.Get(ctx, r.QueueName, r.DlqItemId)
	return openapi.GetDeadJob200JSONResponse(dead), err
}

// GetDeadStats sums the dead letter queue up.
func (h *handlers) GetDeadStats(ctx context.Context, r openapi.GetDeadStatsRequestObject) (openapi.GetDeadStatsResponseObject, error) {
	stats, err := h.client(ctx).DLQ.Stats(ctx, someQueue(r.QueueName))
	return openapi.GetDeadStats200JSONResponse(stats), err
}

// CountDeadJobs counts entries.
func (h *handlers) CountDeadJobs(ctx context.Context, r openapi.CountDeadJobsRequestObject) (openapi.CountDeadJobsResponseObject, error) {
	p := r.Params
	count, err := h.client(ctx).DLQ.Count(ctx, someQueue(r.QueueName), penstock.DeadFilter{
		Reason: p.Reason, Class: p.Class, Fingerprint: p.Fingerprint, Name: p.Name, Tag: p.Tag,
		FailedFrom: given(p.FailedFrom), FailedTo: given(p.FailedTo), CanRetry: p.CanRetry, Data: p.Data,
	})
	return openapi.CountDeadJobs200JSONResponse(count), err
}

// ListErrorGroups groups entries by their error.
func (h *handlers) ListErrorGroups(ctx context.Context, r openapi.ListErrorGroupsRequestObject) (openapi.ListErrorGroupsResponseObject, error) {
	limit := r.Params.Limit
	if limit == 0 {
		limit = 50
	}
	groups, err := h.client(ctx).DLQ.Groups(ctx, someQueue(r.QueueName), limit)
	return openapi.ListErrorGroups200JSONResponse{Items: orEmpty(groups)}, err
}

// ResolveError marks an error group resolved.
func (h *handlers) ResolveError(ctx context.Context, r openapi.ResolveErrorRequestObject) (openapi.ResolveErrorResponseObject, error) {
	err := h.client(ctx).DLQ.ResolveGroup(ctx, r.QueueName, r.Fingerprint, true)
	return openapi.ResolveError204Response{}, err
}

// ReopenError marks an error group open.
func (h *handlers) ReopenError(ctx context.Context, r openapi.ReopenErrorRequestObject) (openapi.ReopenErrorResponseObject, error) {
	err := h.client(ctx).DLQ.ResolveGroup(ctx, r.QueueName, r.Fingerprint, false)
	return openapi.ReopenError204Response{}, err
}

// GetDeadPolicy returns what happens to a queue's dead jobs.
func (h *handlers) GetDeadPolicy(ctx context.Context, r openapi.GetDeadPolicyRequestObject) (openapi.GetDeadPolicyResponseObject, error) {
	policy, err := h.client(ctx).DLQ.Policy(ctx, r.QueueName)
	return openapi.GetDeadPolicy200JSONResponse(policy), err
}

// SetDeadPolicy changes that policy.
func (h *handlers) SetDeadPolicy(ctx context.Context, r openapi.SetDeadPolicyRequestObject) (openapi.SetDeadPolicyResponseObject, error) {
	client, change := h.client(ctx), *r.Body
	change.Queue = r.QueueName
	if err := client.DLQ.SetPolicy(ctx, change); err != nil {
		return nil, err
	}
	policy, err := client.DLQ.Policy(ctx, r.QueueName)
	return openapi.SetDeadPolicy200JSONResponse(policy), err
}

// ProcessScheduledRetries redrives what is due to be.
func (h *handlers) ProcessScheduledRetries(ctx context.Context, r openapi.ProcessScheduledRetriesRequestObject) (openapi.ProcessScheduledRetriesResponseObject, error) {
	ids, err := h.client(ctx).DLQ.ProcessScheduledRetries(ctx, someQueue(r.QueueName))
	return openapi.ProcessScheduledRetries200JSONResponse{RetriedIds: ids}, err
}

// PurgeDeadJobs deletes old entries.
func (h *handlers) PurgeDeadJobs(ctx context.Context, r openapi.PurgeDeadJobsRequestObject) (openapi.PurgeDeadJobsResponseObject, error) {
	p, age := r.Params, purgeAge
	if p.OlderThan != nil {
		age = time.Duration(*p.OlderThan) * time.Millisecond
	}
	purged, more, err := withinBulkLimit(ctx, func(ctx context.Context) (int64, error) {
		return h.client(ctx).DLQ.Purge(ctx, someQueue(r.QueueName), age, penstock.DeadFilter{
			Reason: p.Reason, Class: p.Class, Fingerprint: p.Fingerprint, Name: p.Name, Tag: p.Tag,
			FailedFrom: given(p.FailedFrom), FailedTo: given(p.FailedTo), CanRetry: p.CanRetry, Data: p.Data,
		}, nil)
	})
	return openapi.PurgeDeadJobs200JSONResponse{Purged: purged, More: more}, err
}

// RedriveJob sends one entry back.
func (h *handlers) RedriveJob(ctx context.Context, r openapi.RedriveJobRequestObject) (openapi.RedriveJobResponseObject, error) {
	var data any // nil keeps the job's
	if r.Body != nil && r.Body.Data != nil {
		data = r.Body.Data
	}
	id, err := h.client(ctx).DLQ.RedriveJob(ctx, r.QueueName, r.DlqItemId, data)
	return openapi.RedriveJob200JSONResponse{Success: true, JobId: strconv.FormatInt(id, 10)}, err
}
