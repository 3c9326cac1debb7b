package penstock

import (
	"context"
	"encoding/json"
	"fmt"
)

// Explanation is why a job is, or is not, running.
type Explanation struct {
	JobID     int64    `json:"jobId,string"`
	Queue     string   `json:"queueName"`
	Name      string   `json:"name"`
	State     State    `json:"state"`
	Claimable bool     `json:"claimable"` // a claim now would take it, given room
	Reasons   []Reason `json:"reasons"`   // the most decisive first
}

// Reason is one thing that bears on when a job runs.
type Reason struct {
	// Code is one of finished, dead, redriven, purged, running, cancel_requested,
	// expired, scheduled, retry_wait, paused, breaker_open, no_worker, no_handler,
	// jobs_ahead.
	Code    string         `json:"code"`
	Blocks  bool           `json:"blocks"` // it keeps a claim from taking the job
	Message string         `json:"message"`
	Facts   map[string]any `json:"facts"`
}

// Explain answers why a job is not running, from the rows that decide it.
// Errors: ErrJobNotFound.
func (c *Client) Explain(ctx context.Context, id int64) (*Explanation, error) {
	text, err := c.queries.ExplainJob(ctx, id)
	if err != nil {
		return nil, translate("explain job", err)
	}
	var e *Explanation
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("explain job %d: %w", id, err)
	}
	if e == nil {
		return nil, fmt.Errorf("explain job %d: %w", id, ErrJobNotFound)
	}
	return e, nil
}
