package penstock

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/penstock/penstock/db"
)

// PriorityClient reads and changes what gives a job without an explicit priority its
// weight: client.Priorities. The first rule whose condition holds, or else the queue's
// default, is the base; tags then shift it.
type PriorityClient struct{ *scope }

// PriorityRule gives jobs that state no priority their weight: the first rule of
// the queue, by position, whose condition holds for the data decides.
type PriorityRule struct {
	Queue     string     `json:"queueName"`
	Position  int        `json:"position"`            // 1–1000
	Condition string     `json:"condition"`           // jsonpath; see penstock.priority_rules
	Priority  Priority   `json:"priority"`            // a level or a weight
	Error     string     `json:"error,omitempty"`     // why it was skipped when last evaluated
	ErrorSeen *time.Time `json:"errorSeen,omitempty"` // when that was
}

// Rules returns the rules of a queue, or of every queue when queue is "".
func (c PriorityClient) Rules(ctx context.Context, queue string) ([]PriorityRule, error) {
	rows, err := c.queries.ListRules(ctx, optional(queue))
	if err != nil {
		return nil, translate("list rules", err)
	}
	rules := make([]PriorityRule, len(rows))
	for i, r := range rows {
		rules[i] = PriorityRule{
			r.Queue, int(r.Position), r.Condition, Priority(r.Priority), value(r.Error), utc(r.ErrorSeen),
		}
	}
	return rules, nil
}

// SetRule sets the rule at a position. It applies from the next enqueue on.
// Errors: *ArgumentError, also for a condition that is no jsonpath.
func (c PriorityClient) SetRule(ctx context.Context, rule PriorityRule) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetRule(ctx, db.SetRuleParams{
			Queue: rule.Queue, Position: int32(rule.Position), Condition: &rule.Condition, Priority: string(rule.Priority),
		})
	})
	return translate("set rule", err)
}

// RemoveRule removes the rule at a position.
func (c PriorityClient) RemoveRule(ctx context.Context, queue string, position int) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetRule(ctx, db.SetRuleParams{Queue: queue, Position: int32(position)})
	})
	return translate("remove rule", err)
}

// PriorityDecision is the weight of a job and the rule and tags that it comes from.
type PriorityDecision struct {
	Weight int            `json:"weight"`
	Level  string         `json:"level"`
	Rule   int            `json:"rule,omitempty"` // its position; 0: none held, the queue's default is the base
	Base   int            `json:"base"`
	Tags   []string       `json:"tags"`             // those that shift it
	Errors map[int]string `json:"errors,omitempty"` // of rules that were skipped, by position
}

// Decide returns the priority that a job with this data and these tags would get.
func (c PriorityClient) Decide(ctx context.Context, queue string, data any, tags []string) (PriorityDecision, error) {
	encoded, err := encodeData(data)
	if err != nil {
		return PriorityDecision{}, err
	}
	d, err := c.queries.DecidePriority(ctx, db.DecidePriorityParams{Queue: queue, Data: encoded, Tags: tags})
	if err != nil {
		return PriorityDecision{}, translate("decide priority", err)
	}
	decision := PriorityDecision{int(d.Weight), d.Level, int(d.Rule), int(d.Base), d.Shifting, nil}
	if err := json.Unmarshal(d.Errors, &decision.Errors); err != nil {
		return PriorityDecision{}, fmt.Errorf("decide priority: read errors: %w", err)
	}
	return decision, nil
}

// PriorityShare is how many jobs of a queue stand at one weight.
type PriorityShare struct {
	Queue     string `json:"queueName"`
	Level     string `json:"level"` // the nearest at or below the weight
	Weight    int    `json:"weight"`
	Waiting   int64  `json:"waiting"` // due, retries included
	Scheduled int64  `json:"scheduled"`
	Running   int64  `json:"running"`
}

// Distribution counts waiting, scheduled and running jobs by weight, the
// highest first, of one queue or of every queue when queue is "".
func (c PriorityClient) Distribution(ctx context.Context, queue string) ([]PriorityShare, error) {
	rows, err := c.queries.PriorityDistribution(ctx, optional(queue))
	if err != nil {
		return nil, translate("read priority distribution", err)
	}
	shares := make([]PriorityShare, len(rows))
	for i, r := range rows {
		shares[i] = PriorityShare{r.Queue, r.Level, int(r.Weight), r.Waiting, r.Scheduled, r.Running}
	}
	return shares, nil
}

// PriorityLevel names a weight; PriorityTag shifts one.
type (
	PriorityLevel struct {
		Level  string `json:"level"`
		Weight int    `json:"weight"` // 1–100, each once
	}
	PriorityTag struct {
		Tag   string `json:"tag"`
		Shift int    `json:"shift"` // -99–99
	}
)

// Levels lists the levels by weight.
func (c PriorityClient) Levels(ctx context.Context) ([]PriorityLevel, error) {
	rows, err := c.queries.ListLevels(ctx)
	if err != nil {
		return nil, translate("list levels", err)
	}
	levels := make([]PriorityLevel, len(rows))
	for i, r := range rows {
		levels[i] = PriorityLevel{r.Level, int(r.Weight)}
	}
	return levels, nil
}

// SetLevel adds a level or changes its weight; weight 0 removes it.
func (c PriorityClient) SetLevel(ctx context.Context, level PriorityLevel) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetLevel(ctx, db.SetLevelParams{Level: level.Level, Weight: int32(level.Weight)})
	})
	return translate("set level", err)
}

// Tags lists the tags that shift a weight.
func (c PriorityClient) Tags(ctx context.Context) ([]PriorityTag, error) {
	rows, err := c.queries.ListTags(ctx)
	if err != nil {
		return nil, translate("list tags", err)
	}
	tags := make([]PriorityTag, len(rows))
	for i, r := range rows {
		tags[i] = PriorityTag{r.Tag, int(r.Shift)}
	}
	return tags, nil
}

// SetTag adds a tag or changes its shift; shift 0 removes it.
func (c PriorityClient) SetTag(ctx context.Context, tag PriorityTag) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetTag(ctx, db.SetTagParams{Tag: tag.Tag, Shift: int32(tag.Shift)})
	})
	return translate("set tag", err)
}
