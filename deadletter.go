package penstock

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/penstock/penstock/db"
)

// DeadJob is an entry of the dead letter queue, with all that the job was.
type DeadJob struct {
	ID          string          `json:"id"` // dlq_<job>_<attempt>
	JobID       int64           `json:"jobId,string"`
	Queue       string          `json:"queueName"`
	Name        string          `json:"name"`
	Data        json.RawMessage `json:"data"`
	Tags        []string        `json:"tags,omitempty"`
	Priority    int             `json:"priority"`
	Reason      string          `json:"reason"` // exhausted, non_retryable, crash_loop, timeout, manual
	ErrorClass  string          `json:"errorClass"`
	Error       string          `json:"error"`
	Detail      string          `json:"detail,omitempty"`
	Fingerprint string          `json:"fingerprint"`
	Attempts    int             `json:"attempts"` // claims, the last one's number
	Failures    int             `json:"failures"`
	Crashes     int             `json:"crashes"`
	MaxAttempts int             `json:"maxAttempts"`
	CanRetry    bool            `json:"canRetry"`
	FailedAt    time.Time       `json:"failedAt"`
	NextRetryAt *time.Time      `json:"nextRetryAt,omitempty"`
	EnqueuedAt  time.Time       `json:"enqueuedAt"`
	OriginID    int64           `json:"originId,string,omitempty"`
	Generation  int             `json:"generation"`
}

// DeadJobsFilter chooses entries of the dead letter queue.
type DeadJobsFilter struct {
	Queue string // empty: every queue
	Limit int    // 1–500; 0: 50
}

// DeadJobs lists the dead letter queue, the newest first.
func (c *Client) DeadJobs(ctx context.Context, filter DeadJobsFilter) ([]DeadJob, error) {
	if filter.Limit == 0 {
		filter.Limit = 50
	}
	if filter.Limit < 1 || filter.Limit > 500 {
		return nil, refuse("limit", "1 to 500", filter.Limit)
	}
	rows, err := c.queries.ListDeadJobs(ctx, db.ListDeadJobsParams{
		Queue: optional(filter.Queue), RowLimit: int32(filter.Limit),
	})
	if err != nil {
		return nil, translate("list dead jobs", err)
	}
	dead := make([]DeadJob, len(rows))
	for i, r := range rows {
		dead[i] = DeadJob{
			ID: fmt.Sprintf("dlq_%d_%d", r.JobID, r.Attempt), JobID: r.JobID, Queue: r.Queue, Name: r.Name, Data: r.Data,
			Tags: r.Tags, Priority: int(r.Priority), Reason: r.Reason, ErrorClass: r.ErrorClass, Error: r.Message,
			Detail: value(r.Detail), Fingerprint: r.Fingerprint, Attempts: int(r.Attempt), Failures: int(r.Failures),
			Crashes: int(r.Crashes), MaxAttempts: int(r.MaxAttempts), CanRetry: r.CanRetry, FailedAt: r.FailedAt.UTC(),
			NextRetryAt: utc(r.NextRetryAt), EnqueuedAt: r.EnqueuedAt.UTC(), OriginID: value(r.OriginID),
			Generation: int(r.Generation),
		}
	}
	return dead, nil
}

// ErrorGroup is dead jobs that died of one error: same queue, class, reason and
// message but for numbers, ids and quoted text.
type ErrorGroup struct {
	Queue       string    `json:"queueName"`
	Fingerprint string    `json:"fingerprint"`
	Class       string    `json:"errorClass"`
	Reason      string    `json:"reason"`
	Jobs        int64     `json:"jobs"`
	FirstSeen   time.Time `json:"firstSeen"`
	LastSeen    time.Time `json:"lastSeen"`
	Example     string    `json:"example"`
}

// ErrorGroups groups the dead letter queue by error, the most frequent first;
// queue "" is every queue, limit 1–500.
func (c *Client) ErrorGroups(ctx context.Context, queue string, limit int) ([]ErrorGroup, error) {
	if limit < 1 || limit > 500 {
		return nil, refuse("limit", "1 to 500", limit)
	}
	rows, err := c.queries.GroupDeadJobs(ctx, db.GroupDeadJobsParams{Queue: optional(queue), RowLimit: int32(limit)})
	if err != nil {
		return nil, translate("group dead jobs", err)
	}
	groups := make([]ErrorGroup, len(rows))
	for i, r := range rows {
		groups[i] = ErrorGroup{
			r.Queue, r.Fingerprint, r.ErrorClass, r.Reason, r.Jobs, r.FirstSeen.UTC(), r.LastSeen.UTC(), r.Example,
		}
	}
	return groups, nil
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
