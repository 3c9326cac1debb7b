package penstock

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/penstock/penstock/db"
)

// JobInfo is what was enqueued, where the job is now, and how its attempts ended.
type JobInfo struct {
	ID       int64  `json:"id,string"`
	Queue    string `json:"queueName"`
	Name     string `json:"name"`
	State    State  `json:"state"`
	Priority int    `json:"priority"`
	Attempt  int    `json:"attempt"` // of the claim under way or the last one; 0: never claimed
	Failures int    `json:"failures"`

	RunAt      time.Time  `json:"runAt"`
	EnqueuedAt time.Time  `json:"enqueuedAt"`
	ExpiresAt  *time.Time `json:"expiresAt,omitempty"`
	ClaimedAt  *time.Time `json:"claimedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`

	Data            json.RawMessage `json:"data"`
	Tags            []string        `json:"tags,omitempty"`
	Retry           *RetryStrategy  `json:"retryStrategy,omitempty"` // what the job brought itself
	MaxAttempts     int             `json:"maxAttempts,omitempty"`   // what the job brought itself
	TraceContext    string          `json:"traceContext,omitempty"`
	OriginID        int64           `json:"originId,string,omitempty"`
	Generation      int             `json:"generation"`
	WorkerID        int64           `json:"workerId,string,omitempty"`
	CancelRequested bool            `json:"cancelRequested,omitempty"`
	Progress        *int            `json:"progress,omitempty"` // percent, while it runs
	ProgressNote    string          `json:"progressNote,omitempty"`
	RedrivenAs      int64           `json:"redrivenAs,string,omitempty"`
	Descendants     IDs             `json:"descendants,omitempty"` // jobs redriven from it, directly or not; only from Job
	Attempts        []AttemptInfo   `json:"attempts,omitempty"`    // ended ones, oldest first; only from Job
}

// IDs are job ids. In JSON each is a string, as everywhere.
type IDs []int64

// MarshalJSON writes strings.
func (ids IDs) MarshalJSON() ([]byte, error) {
	if ids == nil {
		return []byte("null"), nil
	}
	text := make([]byte, 0, 2+19*len(ids))
	text = append(text, '[')
	for i, id := range ids {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, '"')
		text = strconv.AppendInt(text, id, 10)
		text = append(text, '"')
	}
	return append(text, ']'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (ids *IDs) UnmarshalJSON(text []byte) error {
	var words []string
	if err := json.Unmarshal(text, &words); err != nil {
		return err
	}
	*ids = make(IDs, len(words))
	for i, word := range words {
		var err error
		if (*ids)[i], err = strconv.ParseInt(word, 10, 64); err != nil {
			return fmt.Errorf("read id: %w", err)
		}
	}
	return nil
}

// State is where a job is: which table its row is in, and how it finished.
type State string

// The states of a job. A retrying one waits after a failure or a crash.
const (
	Waiting   State = "waiting"
	Scheduled State = "scheduled"
	Retrying  State = "retrying"
	Running   State = "running"
	Completed State = "completed"
	Cancelled State = "cancelled"
	Expired   State = "expired"
	DeadState State = "dead"
	Redriven  State = "redriven" // died, and went on as another job
	Purged    State = "purged"   // died, and was deleted from the dead letter queue
)

// AttemptInfo is an attempt that ended.
type AttemptInfo struct {
	Attempt      int             `json:"attempt"`
	Outcome      string          `json:"outcome"` // completed, failed, snoozed, released, cancelled, expired, lost
	Priority     int             `json:"priority"`
	WorkerID     int64           `json:"workerId,string,omitempty"`
	RunAt        time.Time       `json:"runAt"`
	ClaimedAt    *time.Time      `json:"claimedAt,omitempty"` // absent when it ended without a claim
	FinishedAt   time.Time       `json:"finishedAt"`
	Wait         *Milliseconds   `json:"wait,omitempty"`     // from run_at to the claim
	Ran          *Milliseconds   `json:"ran,omitempty"`      // from the claim to the end
	Progress     *int            `json:"progress,omitempty"` // percent, as last noted
	ProgressNote string          `json:"progressNote,omitempty"`
	ErrorClass   string          `json:"errorClass,omitempty"`
	Message      string          `json:"error,omitempty"`
	Detail       string          `json:"detail,omitempty"`
	Fingerprint  string          `json:"fingerprint,omitempty"`
	Result       json.RawMessage `json:"result,omitempty"`
}

// Job returns everything that is kept about a job. Errors: ErrJobNotFound.
func (c *Client) Job(ctx context.Context, id int64) (*JobInfo, error) {
	rows, err := c.queries.ListJobs(ctx, db.ListJobsParams{IDs: []int64{id}})
	if err != nil {
		return nil, translate("get job", err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("get job %d: %w", id, ErrJobNotFound)
	}
	job, err := jobInfo(rows[0])
	if err != nil {
		return nil, err
	}
	ended, err := c.queries.ListAttempts(ctx, id)
	if err != nil {
		return nil, translate("list attempts", err)
	}
	job.Attempts = []AttemptInfo{}
	failures := 0
	for _, a := range ended {
		job.Attempts = append(job.Attempts, attemptInfo(a))
		if a.Outcome == "failed" {
			failures++
		}
	}
	if rows[0].Failures == nil {
		job.Failures = failures
	}
	if job.Descendants, err = c.queries.ListDescendants(ctx, id); err != nil {
		return nil, translate("list descendants", err)
	}
	return &job, nil
}

func jobInfo(r db.ListJobsRow) (JobInfo, error) {
	job := JobInfo{
		ID: r.ID, Queue: r.Queue, Name: r.Name, State: State(r.State), Priority: int(r.Priority), Attempt: int(r.Attempt),
		Failures: int(value(r.Failures)),
		RunAt:    r.RunAt.UTC(), EnqueuedAt: r.EnqueuedAt.UTC(), ExpiresAt: utc(r.ExpiresAt), ClaimedAt: utc(r.ClaimedAt),
		FinishedAt: utc(r.FinishedAt), Data: r.Data, Tags: r.Tags, MaxAttempts: int(value(r.MaxAttempts)),
		TraceContext: value(r.TraceContext), OriginID: value(r.OriginID), Generation: int(r.Generation),
		RedrivenAs: value(r.NewJobID), WorkerID: value(r.WorkerID), CancelRequested: r.CancelRequested,
		ProgressNote: value(r.ProgressNote),
	}
	if r.Progress != nil {
		percent := int(*r.Progress)
		job.Progress = &percent
	}
	if r.Retry != nil {
		job.Retry = new(RetryStrategy)
		if err := json.Unmarshal(r.Retry, job.Retry); err != nil {
			return job, fmt.Errorf("read retry strategy of job %d: %w", r.ID, err)
		}
	}
	return job, nil
}

func attemptInfo(a db.Attempt) AttemptInfo {
	info := AttemptInfo{
		Attempt: int(a.Attempt), Outcome: a.Outcome, Priority: int(a.Priority), WorkerID: value(a.WorkerID),
		RunAt: a.RunAt.UTC(), ClaimedAt: utc(a.ClaimedAt), FinishedAt: a.FinishedAt.UTC(),
		ErrorClass: value(a.ErrorClass), Message: value(a.Message), Detail: value(a.Detail),
		Fingerprint: value(a.Fingerprint), Result: a.Result, ProgressNote: value(a.ProgressNote),
	}
	if a.ClaimedAt != nil {
		wait, ran := Milliseconds(a.ClaimedAt.Sub(a.RunAt)), Milliseconds(a.FinishedAt.Sub(*a.ClaimedAt))
		info.Wait, info.Ran = &wait, &ran
	}
	if a.Progress != nil {
		percent := int(*a.Progress)
		info.Progress = &percent
	}
	return info
}

// CancelResult is what a cancel found.
type CancelResult string

// The results of Cancel.
const (
	CancelDone    CancelResult = "cancelled"  // it was waiting and has ended
	CancelAsked   CancelResult = "cancelling" // it runs; its context ends, and it completes or ends as cancelled
	CancelTooLate CancelResult = "finished"   // nothing was left to cancel
)

// Cancel ends a waiting job at once and asks a running one to stop: its
// handler's context ends with cause ErrCancelled within two seconds.
// Errors: ErrJobNotFound.
func (c *Client) Cancel(ctx context.Context, id int64) (CancelResult, error) {
	word, err := c.queries.CancelJob(ctx, id)
	if err != nil {
		return "", translate("cancel job", err)
	}
	if word == "" {
		return "", fmt.Errorf("cancel job %d: %w", id, ErrJobNotFound)
	}
	return CancelResult(word), nil
}
