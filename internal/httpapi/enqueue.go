package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

const (
	maxBatch = 10_000 // jobs, as openapi.yaml says

	// batchedAtOnce is how many jobs of batches Postgres gets at once; one larger batch
	// goes alone. Two thousand keep it as busy as four thousand do (bench http: 90,000 jobs
	// a second either way), and leave processor time for small requests: metrics come
	// within 25 ms instead of 40.
	batchedAtOnce = 2000
)

// Enqueue adds a job.
func (h *handlers) Enqueue(ctx context.Context, r openapi.EnqueueRequestObject) (openapi.EnqueueResponseObject, error) {
	id, err := h.client(ctx).Enqueue(ctx, newJob(r.QueueName, *r.Body, r.Params.Traceparent))
	if err != nil {
		return nil, err
	}
	text := strconv.FormatInt(id, 10)
	return openapi.Enqueue201JSONResponse{
		Body:    openapi.Enqueued{Id: text, QueueName: r.QueueName, Name: r.Body.Name},
		Headers: openapi.Enqueue201ResponseHeaders{Location: "/api/v1/jobs/" + text},
	}, nil
}

// EnqueueMany adds all jobs of a batch, or none.
func (h *handlers) EnqueueMany(ctx context.Context, r openapi.EnqueueManyRequestObject) (openapi.EnqueueManyResponseObject, error) {
	var asked openapi.JobRequests
	if r.JSONBody != nil {
		asked = *r.JSONBody
	} else {
		var err error
		if asked, err = readLines(r.Body); err != nil {
			return nil, err
		}
	}
	if len(asked) < 1 || len(asked) > maxBatch {
		return nil, &penstock.ArgumentError{
			Argument: "jobs", Message: fmt.Sprintf("jobs must be 1 to %d in a batch, got %d", maxBatch, len(asked)),
		}
	}
	jobs := make([]penstock.NewJob, len(asked))
	for i, job := range asked {
		jobs[i] = newJob(r.QueueName, job, r.Params.Traceparent)
	}
	room := min(int64(len(jobs)), batchedAtOnce)
	if err := h.batches.Acquire(ctx, room); err != nil {
		return nil, err
	}
	defer h.batches.Release(room)
	ids, err := h.client(ctx).EnqueueMany(ctx, jobs)
	if err != nil {
		return nil, err
	}
	return openapi.EnqueueMany201JSONResponse{Ids: ids}, nil
}

// readLines reads one job after another, and stops at the first that is too many.
func readLines(body io.Reader) (jobs openapi.JobRequests, err error) {
	lines := json.NewDecoder(body)
	for len(jobs) <= maxBatch {
		var job openapi.JobRequest
		err := lines.Decode(&job)
		if errors.Is(err, io.EOF) {
			break
		}
		if refused, ok := errors.AsType[*penstock.ArgumentError](err); ok {
			refused.Job = len(jobs) + 1
			return nil, refused
		}
		if err != nil {
			return nil, &penstock.ArgumentError{
				Argument: "job", Message: "each line must be a job as JSON", Job: len(jobs) + 1,
			}
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

func newJob(queue string, r openapi.JobRequest, traceparent string) penstock.NewJob {
	job := penstock.NewJob{
		Queue: queue, Name: r.Name, Priority: r.Priority, Delay: time.Duration(r.Delay), RunAt: r.RunAt,
		Retry: r.RetryStrategy, MaxAttempts: r.MaxAttempts, Timeout: time.Duration(r.Timeout),
		ExpiresIn: time.Duration(r.ExpiresIn), Tags: r.Tags, IdempotencyKey: r.IdempotencyKey, TraceContext: r.TraceContext,
	}
	if r.Data != nil {
		job.Data = r.Data
	}
	if job.Retry == nil {
		job.Retry = strategyWithin(r.Data)
	}
	if job.TraceContext == "" && traceparentPattern.MatchString(traceparent) {
		job.TraceContext = traceparent // another is to be ignored, says W3C
	}
	return job
}

var traceparentPattern = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// strategyWithin is the retryStrategy that stands in the data, where callers of the
// system that this API re-imagines put it. Only an object that is a strategy through
// and through counts as one; whatever else has that name is the handler's.
func strategyWithin(data json.RawMessage) *penstock.RetryStrategy {
	if !bytes.Contains(data, []byte(`"retryStrategy"`)) { // most data: not decoded a second time
		return nil
	}
	var fields, parts map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil || json.Unmarshal(fields["retryStrategy"], &parts) != nil {
		return nil
	}
	for key := range parts {
		if !slices.Contains(strategyParts, key) {
			return nil
		}
	}
	strategy := new(penstock.RetryStrategy)
	if json.Unmarshal(fields["retryStrategy"], strategy) != nil {
		return nil
	}
	switch strategy.Type {
	case penstock.Exponential, penstock.Linear, penstock.Fixed, penstock.Custom:
		return strategy
	}
	return nil
}

var strategyParts = []string{"type", "delay", "maxAttempts", "backoffMultiplier", "maxDelay", "jitter"}
