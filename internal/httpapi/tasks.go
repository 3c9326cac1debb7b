package httpapi

import (
	"context"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// ListTasks lists the scheduled tasks.
func (h *handlers) ListTasks(ctx context.Context, _ openapi.ListTasksRequestObject) (openapi.ListTasksResponseObject, error) {
	tasks, err := h.client(ctx).Tasks.List(ctx)
	return openapi.ListTasks200JSONResponse{Items: orEmpty(tasks)}, err
}

// GetTask returns a task.
func (h *handlers) GetTask(ctx context.Context, r openapi.GetTaskRequestObject) (openapi.GetTaskResponseObject, error) {
	task, err := h.client(ctx).Tasks.Get(ctx, r.TaskName)
	return openapi.GetTask200JSONResponse(task), err
}

// SetTask changes a task.
func (h *handlers) SetTask(ctx context.Context, r openapi.SetTaskRequestObject) (openapi.SetTaskResponseObject, error) {
	task, err := h.taskAfter(ctx, r.TaskName, func(c *penstock.Client) error { return c.Tasks.Set(ctx, r.TaskName, *r.Body) })
	return openapi.SetTask200JSONResponse(task), err
}

// PauseTask pauses a task.
func (h *handlers) PauseTask(ctx context.Context, r openapi.PauseTaskRequestObject) (openapi.PauseTaskResponseObject, error) {
	task, err := h.taskAfter(ctx, r.TaskName, func(c *penstock.Client) error { return c.Tasks.Pause(ctx, r.TaskName) })
	return openapi.PauseTask200JSONResponse(task), err
}

// ResumeTask resumes a task.
func (h *handlers) ResumeTask(ctx context.Context, r openapi.ResumeTaskRequestObject) (openapi.ResumeTaskResponseObject, error) {
	task, err := h.taskAfter(ctx, r.TaskName, func(c *penstock.Client) error { return c.Tasks.Resume(ctx, r.TaskName) })
	return openapi.ResumeTask200JSONResponse(task), err
}

// RunTask requests a run.
func (h *handlers) RunTask(ctx context.Context, r openapi.RunTaskRequestObject) (openapi.RunTaskResponseObject, error) {
	task, err := h.taskAfter(ctx, r.TaskName, func(c *penstock.Client) error {
		_, err := c.Tasks.Run(ctx, r.TaskName)
		return err
	})
	return openapi.RunTask200JSONResponse(task), err
}

// ListTaskRuns lists a task's runs.
func (h *handlers) ListTaskRuns(ctx context.Context, r openapi.ListTaskRunsRequestObject) (openapi.ListTaskRunsResponseObject, error) {
	page, err := h.client(ctx).Tasks.Runs(ctx, penstock.TaskRunQuery{Task: r.TaskName, Limit: r.Params.Limit, Cursor: r.Params.Cursor})
	return openapi.ListTaskRuns200JSONResponse(page), err
}

// taskAfter is a task after a change, which needs a caller who may change every queue.
func (h *handlers) taskAfter(ctx context.Context, name string, change func(*penstock.Client) error) (penstock.Task, error) {
	if err := mayAsk(ctx, ""); err != nil {
		return penstock.Task{}, err
	}
	client := h.client(ctx)
	if err := change(client); err != nil {
		return penstock.Task{}, err
	}
	return client.Tasks.Get(ctx, name)
}
