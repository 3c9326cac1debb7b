package httpapi

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// bulkLimit is how long one request may change or purge jobs in batches; what is left
// then is the next request's. It leaves time to answer within the server's own limits.
const bulkLimit = 40 * time.Second

// ListJobs lists a page of jobs.
func (h *handlers) ListJobs(ctx context.Context, r openapi.ListJobsRequestObject) (openapi.ListJobsResponseObject, error) {
	p := r.Params
	if err := mayAsk(ctx, p.QueueName); err != nil {
		return nil, err
	}
	page, err := h.client(ctx).Jobs(ctx, penstock.JobQuery{
		Filter: penstock.JobFilter{
			Queue: p.QueueName, State: p.State, Name: p.Name, Tag: p.Tag, Class: p.Class,
			EnqueuedFrom: given(p.EnqueuedFrom), EnqueuedTo: given(p.EnqueuedTo), Data: p.Data,
		},
		Limit: p.Limit, Cursor: p.Cursor,
	})
	return openapi.ListJobs200JSONResponse(page), err
}

// CountJobs counts jobs.
func (h *handlers) CountJobs(ctx context.Context, r openapi.CountJobsRequestObject) (openapi.CountJobsResponseObject, error) {
	p := r.Params
	if err := mayAsk(ctx, p.QueueName); err != nil {
		return nil, err
	}
	most := p.Most
	if most == 0 {
		most = 10_000
	}
	count, err := h.client(ctx).CountJobs(ctx, penstock.JobFilter{
		Queue: p.QueueName, State: p.State, Name: p.Name, Tag: p.Tag, Class: p.Class,
		EnqueuedFrom: given(p.EnqueuedFrom), EnqueuedTo: given(p.EnqueuedTo), Data: p.Data,
	}, most)
	return openapi.CountJobs200JSONResponse{Jobs: int64(count.Jobs), Capped: count.Capped}, err
}

// ChangeJobs does one thing to many jobs.
func (h *handlers) ChangeJobs(ctx context.Context, r openapi.ChangeJobsRequestObject) (openapi.ChangeJobsResponseObject, error) {
	if err := mayAsk(ctx, r.Body.Filter.QueueName); err != nil {
		return nil, err
	}
	var argument string
	switch r.Body.Action {
	case penstock.ActionReprioritize:
		argument = string(r.Body.Priority)
	case penstock.ActionReschedule:
		if r.Body.RunAt.IsZero() {
			return nil, &penstock.ArgumentError{Argument: "run_at", Message: "run_at must be given to reschedule"}
		}
		argument = r.Body.RunAt.Format(time.RFC3339Nano)
	}
	f := r.Body.Filter
	changed, more, err := withinBulkLimit(ctx, func(ctx context.Context) (int64, error) {
		return h.client(ctx).ChangeJobs(ctx, r.Body.Action, penstock.JobFilter{
			Queue: f.QueueName, State: f.State, Name: f.Name, Tag: f.Tag, Class: f.Class,
			EnqueuedFrom: f.EnqueuedFrom, EnqueuedTo: f.EnqueuedTo, Data: f.Data,
		}, argument, nil)
	})
	return openapi.ChangeJobs200JSONResponse{Changed: changed, More: more}, err
}

// withinBulkLimit does work that counts what it has done, and has not failed when it
// runs out of time: each batch is committed by itself.
func withinBulkLimit(ctx context.Context, do func(context.Context) (int64, error)) (done int64, more bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, bulkLimit)
	defer cancel()
	done, err = do(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return done, true, nil
	}
	return done, false, err
}

// GetJob returns all that is kept of a job.
func (h *handlers) GetJob(ctx context.Context, r openapi.GetJobRequestObject) (openapi.GetJobResponseObject, error) {
	job, err := h.client(ctx).Job(ctx, r.JobId)
	if err == nil {
		err = maySee(ctx, job.Queue, penstock.ErrJobNotFound)
	}
	if err != nil {
		return nil, err
	}
	return openapi.GetJob200JSONResponse(*job), nil
}

// ExplainJob returns why a job does not run.
func (h *handlers) ExplainJob(ctx context.Context, r openapi.ExplainJobRequestObject) (openapi.ExplainJobResponseObject, error) {
	explanation, err := h.client(ctx).Explain(ctx, r.JobId)
	if err == nil {
		err = maySee(ctx, explanation.Queue, penstock.ErrJobNotFound)
	}
	if err != nil {
		return nil, err
	}
	return openapi.ExplainJob200JSONResponse(*explanation), nil
}

// WaitForJob answers when the job has ended, the time is up or the server drains.
func (h *handlers) WaitForJob(ctx context.Context, r openapi.WaitForJobRequestObject) (openapi.WaitForJobResponseObject, error) {
	if err := h.maySeeJob(ctx, r.JobId); err != nil {
		return nil, err
	}
	limit := 30 * time.Second
	if r.Params.Timeout != nil {
		limit = time.Duration(*r.Params.Timeout) * time.Millisecond
	}
	within, stop := waiting(ctx)
	defer stop()
	limited, cancel := context.WithTimeout(within, limit)
	defer cancel()
	job, err := h.client(ctx).Wait(limited, r.JobId)
	if err = waitedFor(limited, ctx, err); err != nil {
		return nil, err
	}
	if err = stillAllowed(ctx); err != nil {
		return nil, err
	}
	if job == nil {
		if job, err = h.client(ctx).Job(ctx, r.JobId); err != nil {
			return nil, err
		}
	}
	return openapi.WaitForJob200JSONResponse(*job), nil
}

// CancelJob ends a job or asks it to end.
func (h *handlers) CancelJob(ctx context.Context, r openapi.CancelJobRequestObject) (openapi.CancelJobResponseObject, error) {
	if err := h.maySeeJob(ctx, r.JobId); err != nil {
		return nil, err
	}
	result, err := h.client(ctx).Cancel(ctx, r.JobId)
	return openapi.CancelJob200JSONResponse{Result: result}, err
}

// ReprioritizeJob changes a waiting job's priority.
func (h *handlers) ReprioritizeJob(ctx context.Context, r openapi.ReprioritizeJobRequestObject) (openapi.ReprioritizeJobResponseObject, error) {
	job, err := h.changed(ctx, r.JobId, func(c *penstock.Client) (bool, error) {
		return c.Reprioritize(ctx, r.JobId, r.Body.Priority)
	})
	return openapi.ReprioritizeJob200JSONResponse(job), err
}

// RescheduleJob changes when a waiting job may start.
func (h *handlers) RescheduleJob(ctx context.Context, r openapi.RescheduleJobRequestObject) (openapi.RescheduleJobResponseObject, error) {
	job, err := h.changed(ctx, r.JobId, func(c *penstock.Client) (bool, error) {
		return c.Reschedule(ctx, r.JobId, r.Body.RunAt)
	})
	return openapi.RescheduleJob200JSONResponse(job), err
}

// RunJobNow makes a waiting job due.
func (h *handlers) RunJobNow(ctx context.Context, r openapi.RunJobNowRequestObject) (openapi.RunJobNowResponseObject, error) {
	job, err := h.changed(ctx, r.JobId, func(c *penstock.Client) (bool, error) { return c.RunNow(ctx, r.JobId) })
	return openapi.RunJobNow200JSONResponse(job), err
}

// DeadLetterJob moves a waiting job to the dead letter queue.
func (h *handlers) DeadLetterJob(ctx context.Context, r openapi.DeadLetterJobRequestObject) (openapi.DeadLetterJobResponseObject, error) {
	message := ""
	if r.Body != nil {
		message = r.Body.Message
	}
	job, err := h.changed(ctx, r.JobId, func(c *penstock.Client) (bool, error) {
		return c.DLQ.Add(ctx, r.JobId, message)
	})
	return openapi.DeadLetterJob200JSONResponse(job), err
}

// changed is the job after a change that only a waiting job takes.
func (h *handlers) changed(ctx context.Context, id int64, change func(*penstock.Client) (bool, error)) (penstock.JobInfo, error) {
	if err := h.maySeeJob(ctx, id); err != nil {
		return penstock.JobInfo{}, err
	}
	client := h.client(ctx)
	done, err := change(client)
	if err != nil {
		return penstock.JobInfo{}, err
	}
	job, err := client.Job(ctx, id)
	if err != nil {
		return penstock.JobInfo{}, err
	}
	if !done {
		return penstock.JobInfo{}, fmt.Errorf("change job: %w: it is %s, and only a waiting one can be changed", penstock.ErrConflict, job.State)
	}
	return *job, nil
}

// given is a pointer to a time, nil for none.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
