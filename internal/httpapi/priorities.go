package httpapi

import (
	"context"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// GetPriorityDistribution counts jobs by weight.
func (h *handlers) GetPriorityDistribution(ctx context.Context, r openapi.GetPriorityDistributionRequestObject) (openapi.GetPriorityDistributionResponseObject, error) {
	shares, err := h.client(ctx).Priorities.Distribution(ctx, someQueue(r.QueueName))
	return openapi.GetPriorityDistribution200JSONResponse{Items: orEmpty(shares)}, err
}

// ListPriorityRules lists the rules of a queue.
func (h *handlers) ListPriorityRules(ctx context.Context, r openapi.ListPriorityRulesRequestObject) (openapi.ListPriorityRulesResponseObject, error) {
	rules, err := h.client(ctx).Priorities.Rules(ctx, someQueue(r.QueueName))
	return openapi.ListPriorityRules200JSONResponse{Items: orEmpty(rules)}, err
}

// SetPriorityRule puts a rule at its place.
func (h *handlers) SetPriorityRule(ctx context.Context, r openapi.SetPriorityRuleRequestObject) (openapi.SetPriorityRuleResponseObject, error) {
	rule := penstock.PriorityRule{
		Queue: r.QueueName, Position: r.Position, Condition: r.Body.Condition, Priority: r.Body.Priority,
	}
	err := h.client(ctx).Priorities.SetRule(ctx, rule)
	return openapi.SetPriorityRule200JSONResponse(rule), err
}

// RemovePriorityRule removes a rule.
func (h *handlers) RemovePriorityRule(ctx context.Context, r openapi.RemovePriorityRuleRequestObject) (openapi.RemovePriorityRuleResponseObject, error) {
	err := h.client(ctx).Priorities.RemoveRule(ctx, r.QueueName, r.Position)
	return openapi.RemovePriorityRule204Response{}, err
}

// DecidePriority returns the priority that a job would get.
func (h *handlers) DecidePriority(ctx context.Context, r openapi.DecidePriorityRequestObject) (openapi.DecidePriorityResponseObject, error) {
	var data any // nil is {}
	if r.Body.Data != nil {
		data = r.Body.Data
	}
	decision, err := h.client(ctx).Priorities.Decide(ctx, r.QueueName, data, r.Body.Tags)
	return openapi.DecidePriority200JSONResponse(decision), err
}

// ListPriorityLevels lists the names of weights.
func (h *handlers) ListPriorityLevels(ctx context.Context, _ openapi.ListPriorityLevelsRequestObject) (openapi.ListPriorityLevelsResponseObject, error) {
	levels, err := h.client(ctx).Priorities.Levels(ctx)
	return openapi.ListPriorityLevels200JSONResponse{Items: orEmpty(levels)}, err
}

// SetPriorityLevel names a weight.
func (h *handlers) SetPriorityLevel(ctx context.Context, r openapi.SetPriorityLevelRequestObject) (openapi.SetPriorityLevelResponseObject, error) {
	if err := mayAsk(ctx, ""); err != nil { // every queue has it
		return nil, err
	}
	level := penstock.PriorityLevel{Level: r.Level, Weight: r.Body.Weight}
	err := h.client(ctx).Priorities.SetLevel(ctx, level)
	return openapi.SetPriorityLevel200JSONResponse(level), err
}

// RemovePriorityLevel removes a name.
func (h *handlers) RemovePriorityLevel(ctx context.Context, r openapi.RemovePriorityLevelRequestObject) (openapi.RemovePriorityLevelResponseObject, error) {
	if err := mayAsk(ctx, ""); err != nil { // every queue has it
		return nil, err
	}
	err := h.client(ctx).Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: r.Level})
	return openapi.RemovePriorityLevel204Response{}, err
}

// ListPriorityTags lists the tags that shift a weight.
func (h *handlers) ListPriorityTags(ctx context.Context, _ openapi.ListPriorityTagsRequestObject) (openapi.ListPriorityTagsResponseObject, error) {
	tags, err := h.client(ctx).Priorities.Tags(ctx)
	return openapi.ListPriorityTags200JSONResponse{Items: orEmpty(tags)}, err
}

// SetPriorityTag makes a tag shift a weight.
func (h *handlers) SetPriorityTag(ctx context.Context, r openapi.SetPriorityTagRequestObject) (openapi.SetPriorityTagResponseObject, error) {
	if err := mayAsk(ctx, ""); err != nil { // every queue has it
		return nil, err
	}
	tag := penstock.PriorityTag{Tag: r.Tag, Shift: r.Body.Shift}
	err := h.client(ctx).Priorities.SetTag(ctx, tag)
	return openapi.SetPriorityTag200JSONResponse(tag), err
}

// RemovePriorityTag removes a tag's shift.
func (h *handlers) RemovePriorityTag(ctx context.Context, r openapi.RemovePriorityTagRequestObject) (openapi.RemovePriorityTagResponseObject, error) {
	if err := mayAsk(ctx, ""); err != nil { // every queue has it
		return nil, err
	}
	err := h.client(ctx).Priorities.SetTag(ctx, penstock.PriorityTag{Tag: r.Tag})
	return openapi.RemovePriorityTag204Response{}, err
}
