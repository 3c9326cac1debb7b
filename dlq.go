package penstock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/safetext"
)

// DLQClient works with the dead letter queue: client.DLQ. A job gets there when its
// retries are used up, or when its error must not be retried. It leaves only by a
// redrive or a purge, and both are recorded (P11).
type DLQClient struct{ *scope }

// DeadJob is an entry of the dead letter queue, with everything known about the job.
type DeadJob struct {
	ID             string          `json:"id"` // dlq_<job>_<attempt>: one death
	JobID          int64           `json:"jobId,string"`
	Queue          string          `json:"queueName"`
	Name           string          `json:"name"`
	Data           json.RawMessage `json:"data"`
	Tags           []string        `json:"tags,omitempty"`
	Priority       int             `json:"priority"`
	Reason         string          `json:"reason"` // exhausted, non_retryable, crash_loop, timeout, manual
	ErrorClass     string          `json:"errorClass"`
	Error          string          `json:"error"`
	Detail         string          `json:"detail,omitempty"`
	FirstError     string          `json:"firstError,omitempty"`
	Fingerprint    string          `json:"fingerprint"`
	Attempts       int             `json:"attempts"` // claims, the last one's number
	Failures       int             `json:"failures"`
	Crashes        int             `json:"crashes"`
	MaxAttempts    int             `json:"maxAttempts"`
	RetryStrategy  RetryStrategy   `json:"retryStrategy"` // in force when it died
	CanRetry       bool            `json:"canRetry"`
	FailedAt       time.Time       `json:"failedAt"`
	NextRetryAt    *time.Time      `json:"nextRetryAt,omitempty"` // when it is redriven automatically
	EnqueuedAt     time.Time       `json:"enqueuedAt"`
	OriginID       int64           `json:"originId,string,omitempty"`
	Generation     int             `json:"generation"`
	HandlerVersion string          `json:"handlerVersion,omitempty"`
}

// DeadFilter chooses entries of the dead letter queue; zero fields choose all.
type DeadFilter struct {
	Reason      string     `json:"reason,omitempty"`
	Class       string     `json:"class,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	Name        string     `json:"name,omitempty"`
	Tag         string     `json:"tag,omitempty"`
	FailedFrom  *time.Time `json:"failedFrom,omitempty"` // at or after
	FailedTo    *time.Time `json:"failedTo,omitempty"`   // before
	CanRetry    *bool      `json:"canRetry,omitempty"`
	Data        string     `json:"data,omitempty"` // jsonpath over the data
}

// DeadQuery asks for a page of the dead letter queue.
type DeadQuery struct {
	Queue  string // empty: every queue
	Filter DeadFilter
	Limit  int    // 1–500; 0: 50
	Cursor string // Next of an earlier page of the same query
}

// List returns a page of the dead letter queue, newest first. It reads at most 10,000
// entries. Errors: *ArgumentError.
func (c DLQClient) List(ctx context.Context, q DeadQuery) (Page[DeadJob], error) {
	page := Page[DeadJob]{Items: []DeadJob{}}
	limit, err := pageSize(q.Limit)
	if err != nil {
		return page, err
	}
	digest := queryDigest("dead", q.Queue, q.Filter)
	at, err := readCursor(q.Cursor, digest)
	if err != nil {
		return page, err
	}
	p := db.FindDeadParams{
		Queue: optional(q.Queue), Filter: filterJSON(q.Filter), MaxRows: limit, MaxScanned: mostScanned,
	}
	if at != nil {
		p.BeforeAt, p.BeforeID = &at.At, &at.ID
	}
	found, err := c.queries.FindDead(ctx, p)
	if err != nil {
		return page, translate("list dead jobs", err)
	}
	rows, err := c.queries.ListDeadJobs(ctx, db.ListDeadJobsParams{IDs: found.IDs, MaxBytes: mostPageBytes})
	if err != nil {
		return page, translate("list dead jobs", err)
	}
	for _, r := range rows {
		dead, err := deadJob(r)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, dead)
	}
	switch last := len(rows) - 1; {
	case len(rows) > 0 && len(rows) < len(found.IDs): // the page is full of bytes
		page.Next = cursor{digest, rows[last].JobID, rows[last].FailedAt}.String()
	case found.More:
		page.Next = cursor{digest, found.LastID, found.LastAt}.String()
	}
	return page, nil
}

// filterJSON is a filter in the shape find_dead and find_jobs take.
func filterJSON(filter any) json.RawMessage {
	text, _ := json.Marshal(filter) // of texts, times and booleans
	return text
}

var entryPattern = regexp.MustCompile(`^dlq_(\d{1,18})_(\d{1,9})$`)

// Get returns one entry, by its id dlq_<job>_<attempt>. Errors: ErrDeadJobNotFound.
func (c DLQClient) Get(ctx context.Context, queue, entry string) (DeadJob, error) {
	parts := entryPattern.FindStringSubmatch(entry)
	if parts == nil {
		return DeadJob{}, refuse("entry", "dlq_<job>_<attempt>", strconv.Quote(safetext.Clip(entry, 60)))
	}
	job, _ := strconv.ParseInt(parts[1], 10, 64)
	attempt, _ := strconv.ParseInt(parts[2], 10, 32)
	r, err := c.queries.GetDeadJob(ctx, db.GetDeadJobParams{JobID: job, Queue: queue, Attempt: int32(attempt)})
	if errors.Is(err, pgx.ErrNoRows) {
		return DeadJob{}, fmt.Errorf("get dead job %s: %w", entry, ErrDeadJobNotFound)
	} else if err != nil {
		return DeadJob{}, translate("get dead job", err)
	}
	return deadJob(r)
}

func deadJob(r db.DeadJob) (DeadJob, error) {
	d := DeadJob{
		ID: fmt.Sprintf("dlq_%d_%d", r.JobID, r.Attempt), JobID: r.JobID, Queue: r.Queue, Name: r.Name, Data: r.Data,
		Tags: r.Tags, Priority: int(r.Priority), Reason: r.Reason, ErrorClass: r.ErrorClass, Error: r.Message,
		Detail: value(r.Detail), FirstError: value(r.FirstError), Fingerprint: r.Fingerprint, Attempts: int(r.Attempt),
		Failures: int(r.Failures), Crashes: int(r.Crashes), MaxAttempts: int(r.MaxAttempts), CanRetry: r.CanRetry,
		FailedAt: r.FailedAt.UTC(), NextRetryAt: utc(r.NextRetryAt), EnqueuedAt: r.EnqueuedAt.UTC(),
		OriginID: value(r.OriginID), Generation: int(r.Generation), HandlerVersion: value(r.HandlerVersion),
	}
	if err := json.Unmarshal(r.RetryStrategy, &d.RetryStrategy); err != nil {
		return d, fmt.Errorf("read retry strategy of dead job %s: %w", d.ID, err)
	}
	return d, nil
}

// ErrorGroup is dead jobs that died of one error: same queue, class, reason and
// message but for numbers, ids and quoted text.
type ErrorGroup struct {
	Queue       string     `json:"queueName"`
	Fingerprint string     `json:"fingerprint"`
	Class       string     `json:"errorClass"`
	Reason      string     `json:"reason"`
	Jobs        int64      `json:"jobs"`
	Retryable   int64      `json:"retryable"`
	FirstSeen   time.Time  `json:"firstSeen"`
	LastSeen    time.Time  `json:"lastSeen"`
	ExampleID   int64      `json:"exampleJobId,string"`
	Example     string     `json:"example"`
	Resolved    bool       `json:"resolved"` // marked so, and none has died of it since
	ResolvedAt  *time.Time `json:"resolvedAt,omitempty"`
}

// Groups returns the dead letter queue grouped by error, most frequent first. queue ""
// means every queue; limit is 1–500. It reads every entry. Errors: *ArgumentError.
func (c DLQClient) Groups(ctx context.Context, queue string, limit int) ([]ErrorGroup, error) {
	if limit < 1 || limit > mostPage {
		return nil, refuse("limit", "1 to 500", limit)
	}
	rows, err := c.queries.ListErrorGroups(ctx, db.ListErrorGroupsParams{Queue: optional(queue), RowLimit: int32(limit)})
	if err != nil {
		return nil, translate("group dead jobs", err)
	}
	groups := make([]ErrorGroup, len(rows))
	for i, r := range rows {
		groups[i] = ErrorGroup{
			r.Queue, r.Fingerprint, r.ErrorClass, r.Reason, r.Jobs, r.Retryable, r.FirstSeen.UTC(), r.LastSeen.UTC(),
			r.ExampleJobID, r.Example, r.Resolved, utc(r.ResolvedAt),
		}
	}
	return groups, nil
}

// ResolveGroup marks an error group resolved, or open again. A group opens by itself when
// another job dies of its error. Errors: ErrDeadJobNotFound when no entry has it.
func (c DLQClient) ResolveGroup(ctx context.Context, queue, fingerprint string, resolved bool) error {
	var known bool
	err := c.acting(ctx, func(q *db.Queries) (err error) {
		known, err = q.ResolveError(ctx, db.ResolveErrorParams{Queue: queue, Fingerprint: fingerprint, Resolved: resolved})
		return err
	})
	if err != nil {
		return translate("resolve error", err)
	}
	if !known {
		return fmt.Errorf("resolve error %s: %w", safetext.Clip(fingerprint, 40), ErrDeadJobNotFound)
	}
	return nil
}
