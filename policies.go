package penstock

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/penstock/penstock/db"
)

// PolicyClient reads and changes retry policies: client.Policies.
type PolicyClient struct{ *scope }

// Policy is how the failing jobs of a queue and name are retried. In a row, nil fields
// are taken from the next broader row: (queue, name), (queue, *), (*, *);
// an effective policy has no nil fields.
type Policy struct {
	Queue        string        `json:"queueName"` // * is every queue
	Name         string        `json:"name"`      // * is every name
	Strategy     *Strategy     `json:"type,omitempty"`
	Delay        *Milliseconds `json:"delay,omitempty"`             // 0 to 366 days
	Multiplier   *float64      `json:"backoffMultiplier,omitempty"` // 1–1000
	MaxDelay     *Milliseconds `json:"maxDelay,omitempty"`          // 0 to 366 days
	MaxAttempts  *int          `json:"maxAttempts,omitempty"`       // runs, 1–100
	Jitter       *float64      `json:"jitter,omitempty"`            // 0–1
	NonRetryable []string      `json:"nonRetryable,omitzero"`       // class patterns, * for any text; empty: none
	Retryable    []string      `json:"retryable,omitzero"`          // retried even if NonRetryable matches
}

// List returns the policy rows as they are, the broadest first.
func (c PolicyClient) List(ctx context.Context) ([]Policy, error) {
	rows, err := c.queries.ListPolicies(ctx)
	if err != nil {
		return nil, translate("list policies", err)
	}
	policies := make([]Policy, len(rows))
	for i, r := range rows {
		policies[i] = policy(r)
	}
	return policies, nil
}

// Get returns the effective policy for jobs of this queue and name, with every field
// filled. retry, if given, is the job's own strategy.
func (c PolicyClient) Get(ctx context.Context, queue, name string, retry *RetryStrategy) (Policy, error) {
	own, err := retryText(retry)
	if err != nil {
		return Policy{}, err
	}
	row, err := c.queries.GetPolicy(ctx, db.GetPolicyParams{Queue: queue, Name: name, Retry: own})
	if err != nil {
		return Policy{}, translate("get policy", err)
	}
	return policy(row), nil
}

// Set changes the fields that are not nil in p. Fields named in reset (as in JSON: delay,
// maxAttempts …) are taken from the broader row again. Other fields stay. The change
// applies at once to every job without a strategy of its own. Errors: *ArgumentError.
func (c PolicyClient) Set(ctx context.Context, p Policy, reset ...string) error {
	fields := map[string]any{}
	encoded, err := json.Marshal(p)
	if err != nil {
		return refuse("policy", "finite numbers", err)
	}
	if err := json.Unmarshal(encoded, &fields); err != nil {
		return fmt.Errorf("set policy: %w", err)
	}
	delete(fields, "queueName")
	delete(fields, "name")
	for _, field := range reset {
		if _, set := fields[field]; set {
			return refuse("reset", "fields that are not set in the same call", field)
		}
		fields[field] = nil
	}
	if encoded, err = json.Marshal(fields); err != nil {
		return fmt.Errorf("set policy: %w", err)
	}
	return c.set(ctx, p.Queue, p.Name, encoded)
}

// Remove deletes the row of a queue and name. The broader row then applies.
func (c PolicyClient) Remove(ctx context.Context, queue, name string) error {
	return c.set(ctx, queue, name, nil)
}

func (c PolicyClient) set(ctx context.Context, queue, name string, fields json.RawMessage) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetPolicy(ctx, db.SetPolicyParams{Queue: queue, Name: name, Policy: fields})
	})
	return translate("set policy", err)
}

// RetryPreview is the wait after one failure of a job that keeps failing.
type RetryPreview struct {
	Failures   int          `json:"failures"`
	Least      Milliseconds `json:"least"` // jitter at its lowest
	Usual      Milliseconds `json:"usual"` // without jitter
	Most       Milliseconds `json:"most"`
	UsualTotal Milliseconds `json:"usualTotal"` // from the first failure on
}

// Preview returns the delays of a job of this queue and name that keeps failing: one
// element for each failure that is retried.
func (c PolicyClient) Preview(ctx context.Context, queue, name string, retry *RetryStrategy) ([]RetryPreview, error) {
	own, err := retryText(retry)
	if err != nil {
		return nil, err
	}
	rows, err := c.queries.PreviewPolicy(ctx, db.PreviewPolicyParams{Queue: queue, Name: name, Retry: own})
	if err != nil {
		return nil, translate("preview policy", err)
	}
	schedule := make([]RetryPreview, len(rows))
	for i, r := range rows {
		schedule[i] = RetryPreview{
			int(r.Failures), Milliseconds(r.Least), Milliseconds(r.Usual), Milliseconds(r.Most), Milliseconds(r.UsualTotal),
		}
	}
	return schedule, nil
}

func retryText(retry *RetryStrategy) (json.RawMessage, error) {
	if retry == nil {
		return nil, nil
	}
	text, err := json.Marshal(retry)
	if err != nil {
		return nil, refuse("retry", "finite numbers", err)
	}
	return text, nil
}

func policy(r db.RetryPolicy) Policy {
	p := Policy{
		Queue: r.Queue, Name: r.Name, Strategy: (*Strategy)(r.Strategy), Delay: (*Milliseconds)(r.Delay),
		Multiplier: r.Multiplier, MaxDelay: (*Milliseconds)(r.MaxDelay), Jitter: r.Jitter,
		NonRetryable: r.NonRetryable, Retryable: r.Retryable,
	}
	if r.MaxAttempts != nil {
		n := int(*r.MaxAttempts)
		p.MaxAttempts = &n
	}
	return p
}
