package penstock

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/penstock/penstock/db"
)

// PriorityRule gives jobs that state no priority their weight: the first rule of
// the queue, by position, whose condition holds for the data decides.
type PriorityRule struct {
	Queue     string     `json:"queueName"`
	Position  int        `json:"position"`            // 1–1000
	Condition string     `json:"condition"`           // jsonpath; see penstock.priority_rules
	Priority  Priority   `json:"priority"`            // a level or a weight
	Error     string     `json:"error,omitempty"`     // why it was passed over when last evaluated
	ErrorSeen *time.Time `json:"errorSeen,omitempty"` // when that was
}

// PriorityRules lists the rules of a queue, or of every queue when queue is "".
func (c *Client) PriorityRules(ctx context.Context, queue string) ([]PriorityRule, error) {
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

// SetPriorityRule puts a rule at its position; it holds from the next enqueue on.
// Errors: *ArgumentError, for a condition that is no jsonpath too.
func (c *Client) SetPriorityRule(ctx context.Context, rule PriorityRule) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetRule(ctx, db.SetRuleParams{
			Queue: rule.Queue, Position: int32(rule.Position), Condition: &rule.Condition, Priority: string(rule.Priority),
		})
	})
	return translate("set rule", err)
}

// RemovePriorityRule takes a rule away.
func (c *Client) RemovePriorityRule(ctx context.Context, queue string, position int) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetRule(ctx, db.SetRuleParams{Queue: queue, Position: int32(position)})
	})
	return translate("remove rule", err)
}

// PriorityDecision tells which rule and tags give a job its weight.
type PriorityDecision struct {
	Weight int            `json:"weight"`
	Level  string         `json:"level"`
	Rule   int            `json:"rule,omitempty"` // its position; 0: none held, the queue's default is the base
	Base   int            `json:"base"`
	Tags   []string       `json:"tags"`             // those that shift it
	Errors map[int]string `json:"errors,omitempty"` // of rules that were passed over, by position
}

// DecidePriority tells what a job with this data and these tags would be given.
func (c *Client) DecidePriority(ctx context.Context, queue string, data any, tags []string) (PriorityDecision, error) {
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

// PriorityDistribution counts waiting, scheduled and running jobs by weight, the
// highest first, of one queue or of every queue when queue is "".
func (c *Client) PriorityDistribution(ctx context.Context, queue string) ([]PriorityShare, error) {
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

// PriorityLevels lists the levels by weight.
func (c *Client) PriorityLevels(ctx context.Context) ([]PriorityLevel, error) {
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

// SetPriorityLevel adds a level or changes its weight; weight 0 removes it.
func (c *Client) SetPriorityLevel(ctx context.Context, level PriorityLevel) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetLevel(ctx, db.SetLevelParams{Level: level.Level, Weight: int32(level.Weight)})
	})
	return translate("set level", err)
}

// PriorityTags lists the tags that shift a weight.
func (c *Client) PriorityTags(ctx context.Context) ([]PriorityTag, error) {
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

// SetPriorityTag adds a tag or changes its shift; shift 0 removes it.
func (c *Client) SetPriorityTag(ctx context.Context, tag PriorityTag) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetTag(ctx, db.SetTagParams{Tag: tag.Tag, Shift: int32(tag.Shift)})
	})
	return translate("set tag", err)
}

// Breaker is the circuit breaker of a queue and name, or, with name *, of each
// name of the queue by itself.
type Breaker struct {
	Queue         string       `json:"queueName"`
	Name          string       `json:"name"`
	FailureShare  float64      `json:"failureShare"`  // opens at this share, above 0 up to 1; 0 takes 0.5
	LeastAttempts int          `json:"leastAttempts"` // of at least so many attempts; 0 takes 20
	Span          Milliseconds `json:"span"`          // within this time; 0 takes 30 s
	CoolDown      Milliseconds `json:"coolDown"`      // between probes while open; 0 takes 30 s
}

// SetBreaker turns a breaker on or changes it.
func (c *Client) SetBreaker(ctx context.Context, b Breaker) error {
	p := db.SetBreakerParams{
		Queue: b.Queue, Name: b.Name, Enabled: true, FailureShare: b.FailureShare, LeastAttempts: int32(b.LeastAttempts),
		Span: time.Duration(b.Span), CoolDown: time.Duration(b.CoolDown),
	}
	p.FailureShare, p.LeastAttempts = cmp.Or(p.FailureShare, 0.5), cmp.Or(p.LeastAttempts, 20)
	p.Span, p.CoolDown = cmp.Or(p.Span, 30*time.Second), cmp.Or(p.CoolDown, 30*time.Second)
	return translate("set breaker", c.acting(ctx, func(q *db.Queries) error { return q.SetBreaker(ctx, p) }))
}

// RemoveBreaker turns a breaker off. What it has put off runs by the moment its next
// probe would have.
func (c *Client) RemoveBreaker(ctx context.Context, queue, name string) error {
	err := c.acting(ctx, func(q *db.Queries) error { return q.SetBreaker(ctx, db.SetBreakerParams{Queue: queue, Name: name}) })
	return translate("remove breaker", err)
}

// BreakerState is a name whose breaker is open, or has been.
type BreakerState struct {
	Name        string     `json:"name"`
	Open        bool       `json:"open"`
	ChangedAt   time.Time  `json:"changedAt"`
	NextProbeAt *time.Time `json:"nextProbeAt,omitempty"`
	Attempts    int64      `json:"attempts"` // of those that opened it
	Failures    int64      `json:"failures"`
}

// Breakers tells a queue's breaker settings and the states of its names.
func (c *Client) Breakers(ctx context.Context, queue string) ([]Breaker, []BreakerState, error) {
	rows, err := c.queries.ListBreakerSettings(ctx, queue)
	if err != nil {
		return nil, nil, translate("list breakers", err)
	}
	states, err := c.queries.ListBreakers(ctx, queue)
	if err != nil {
		return nil, nil, translate("list breakers", err)
	}
	breakers, seen := make([]Breaker, len(rows)), make([]BreakerState, len(states))
	for i, r := range rows {
		breakers[i] = Breaker{r.Queue, r.Name, r.FailureShare, int(r.LeastAttempts), Milliseconds(r.Span), Milliseconds(r.CoolDown)}
	}
	for i, s := range states {
		seen[i] = BreakerState{s.Name, s.IsOpen, s.ChangedAt.UTC(), utc(s.NextProbeAt), s.Attempts, s.Failures}
	}
	return breakers, seen, nil
}
