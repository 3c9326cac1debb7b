package httpapi

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// ListPolicies lists the policies as they are set.
func (h *handlers) ListPolicies(ctx context.Context, _ openapi.ListPoliciesRequestObject) (openapi.ListPoliciesResponseObject, error) {
	policies, err := h.client(ctx).Policies.List(ctx)
	policies = slices.DeleteFunc(policies, func(p penstock.Policy) bool { return p.Queue != every && !sees(ctx, p.Queue) })
	return openapi.ListPolicies200JSONResponse{Items: orEmpty(policies)}, err
}

// GetPolicy returns the effective policy.
func (h *handlers) GetPolicy(ctx context.Context, r openapi.GetPolicyRequestObject) (openapi.GetPolicyResponseObject, error) {
	policy, err := h.client(ctx).Policies.Get(ctx, r.QueueName, r.JobName, ownRetry(openapi.PreviewPolicyParams(r.Params)))
	return openapi.GetPolicy200JSONResponse(policy), err
}

// PreviewPolicy returns the delays of a job that keeps failing.
func (h *handlers) PreviewPolicy(ctx context.Context, r openapi.PreviewPolicyRequestObject) (openapi.PreviewPolicyResponseObject, error) {
	schedule, err := h.client(ctx).Policies.Preview(ctx, r.QueueName, r.JobName, ownRetry(r.Params))
	return openapi.PreviewPolicy200JSONResponse{Items: orEmpty(schedule)}, err
}

// SetPolicy changes fields of a policy; null takes one back.
func (h *handlers) SetPolicy(ctx context.Context, r openapi.SetPolicyRequestObject) (openapi.SetPolicyResponseObject, error) {
	var change penstock.Policy
	var fields map[string]json.RawMessage
	err := json.Unmarshal(*r.Body, &change)
	if err == nil {
		err = json.Unmarshal(*r.Body, &fields)
	}
	if err != nil {
		return nil, &penstock.ArgumentError{Argument: "policy", Message: "the policy must be an object as described"}
	}
	var reset []string
	for field, given := range fields {
		if string(given) == "null" {
			reset = append(reset, field)
		}
	}
	slices.Sort(reset)
	change.Queue, change.Name = r.QueueName, r.JobName
	client := h.client(ctx)
	if err := client.Policies.Set(ctx, change, reset...); err != nil {
		return nil, err
	}
	policy, err := client.Policies.Get(ctx, r.QueueName, r.JobName, nil)
	return openapi.SetPolicy200JSONResponse(policy), err
}

// RemovePolicy removes a policy.
func (h *handlers) RemovePolicy(ctx context.Context, r openapi.RemovePolicyRequestObject) (openapi.RemovePolicyResponseObject, error) {
	err := h.client(ctx).Policies.Remove(ctx, r.QueueName, r.JobName)
	return openapi.RemovePolicy204Response{}, err
}

// ownRetry is what a query says that a job brings of its own; nil if it says nothing.
func ownRetry(p openapi.PreviewPolicyParams) *penstock.RetryStrategy {
	if p == (openapi.PreviewPolicyParams{}) {
		return nil
	}
	own := &penstock.RetryStrategy{
		Type: p.Type, Delay: retryDuration(p.Delay), MaxDelay: retryDuration(p.MaxDelay), Jitter: p.Jitter,
	}
	if p.BackoffMultiplier != nil {
		own.Multiplier = *p.BackoffMultiplier
	}
	if p.MaxAttempts != nil {
		own.MaxAttempts = *p.MaxAttempts
	}
	return own
}

// retryDuration is a strategy's duration, in which an absent one is the policy's and 0
// is none.
func retryDuration(ms *float64) time.Duration {
	switch {
	case ms == nil:
		return 0
	case *ms == 0:
		return penstock.NoDelay
	}
	return time.Duration(*ms * float64(time.Millisecond))
}
