package httpapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/remote"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/openapi"
)

// worker is the registered worker that a request speaks for: another token's is gone,
// as one that never was.
func (h *handlers) worker(ctx context.Context, id int64) remote.Worker {
	return h.Remote.Worker(requestInfoOf(ctx).caller.id, id)
}

// RegisterWorker makes a worker known.
func (h *handlers) RegisterWorker(ctx context.Context, r openapi.RegisterWorkerRequestObject) (openapi.RegisterWorkerResponseObject, error) {
	for _, queue := range r.Body.Queues {
		if err := mayUse(ctx, queue); err != nil {
			return nil, err
		}
	}
	worker, err := h.Remote.Register(ctx, requestInfoOf(ctx).caller.id, *r.Body)
	if err != nil {
		return nil, err
	}
	id := strconv.FormatInt(worker.ID, 10)
	return openapi.RegisterWorker201JSONResponse{
		Body: openapi.Registered{
			Id: id, HeartbeatInterval: int(remote.BeatEvery.Milliseconds()), Lease: int(remote.Lease.Milliseconds()),
		},
		Headers: openapi.RegisterWorker201ResponseHeaders{Location: "/api/v1/workers/" + id},
	}, nil
}

// ClaimJobs leases jobs, waiting for the first until the time is up or the server drains.
func (h *handlers) ClaimJobs(ctx context.Context, r openapi.ClaimJobsRequestObject) (openapi.ClaimJobsResponseObject, error) {
	within, stop := waiting(ctx)
	defer stop()
	jobs, err := h.worker(ctx, r.WorkerId).Claim(within, remote.ClaimRequest{
		ID: r.Body.ClaimId, Queues: r.Body.Queues, Limit: r.Body.Limit, Wait: time.Duration(r.Body.Wait) * time.Millisecond,
	})
	err = waitedFor(within, ctx, err)
	return openapi.ClaimJobs200JSONResponse{Jobs: append([]remote.Job{}, jobs...)}, err
}

// Heartbeat keeps the worker's leases.
func (h *handlers) Heartbeat(ctx context.Context, r openapi.HeartbeatRequestObject) (openapi.HeartbeatResponseObject, error) {
	reply, err := h.worker(ctx, r.WorkerId).Heartbeat(ctx, r.Body.Held)
	return openapi.Heartbeat200JSONResponse(reply), err
}

// maxResult is how many bytes of JSON a result may have, as the library has it.
const maxResult = 1 << 20

// FinishAttempts ends attempts, each by itself.
func (h *handlers) FinishAttempts(ctx context.Context, r openapi.FinishAttemptsRequestObject) (openapi.FinishAttemptsResponseObject, error) {
	for i := range r.Body.Attempts {
		if err := mayUse(ctx, r.Body.Attempts[i].Queue); err != nil {
			return nil, err
		}
	}
	refused := map[int]string{} // by the attempt's place
	maps.Copy(refused, requestInfoOf(ctx).refused)
	ends, endings := r.Body.Attempts[:0:0], make([]remote.Ending, 0, len(r.Body.Attempts))
	for i := range r.Body.Attempts {
		if len(r.Body.Attempts[i].Result) > maxResult {
			refused[i] = fmt.Sprintf("result must be JSON of at most %d bytes", maxResult)
		}
		if refused[i] == "" {
			ends = append(ends, r.Body.Attempts[i])
		}
	}
	ended, err := h.worker(ctx, r.WorkerId).Finish(ctx, ends)
	if err != nil {
		return nil, err
	}
	for i := range r.Body.Attempts {
		if why := refused[i]; why != "" {
			endings = append(endings, remote.Ending{Held: r.Body.Attempts[i].Held, Status: "refused", Message: why})
			continue
		}
		endings, ended = append(endings, ended[0]), ended[1:]
	}
	return openapi.FinishAttempts200JSONResponse{Attempts: endings}, nil
}

// NoteProgress notes how far attempts are.
func (h *handlers) NoteProgress(ctx context.Context, r openapi.NoteProgressRequestObject) (openapi.NoteProgressResponseObject, error) {
	lost, err := h.worker(ctx, r.WorkerId).Progress(ctx, r.Body.Attempts)
	return openapi.NoteProgress200JSONResponse{Lost: append(penstock.IDs{}, lost...)}, err
}

// RemoveWorker gives back what the worker holds and forgets it.
func (h *handlers) RemoveWorker(ctx context.Context, r openapi.RemoveWorkerRequestObject) (openapi.RemoveWorkerResponseObject, error) {
	return openapi.RemoveWorker204Response{}, h.worker(ctx, r.WorkerId).Leave(ctx)
}

// ListWorkers lists the running workers.
func (h *handlers) ListWorkers(ctx context.Context, r openapi.ListWorkersRequestObject) (openapi.ListWorkersResponseObject, error) {
	if err := mayAsk(ctx, r.Params.QueueName); err != nil {
		return nil, err
	}
	workers, err := h.client(ctx).Workers.List(ctx, r.Params.QueueName)
	for i := range workers {
		hideForeign(ctx, &workers[i])
	}
	return openapi.ListWorkers200JSONResponse{Items: orEmpty(workers)}, err
}

// hideForeign leaves the queues and handlers of a worker that the caller's token covers.
func hideForeign(ctx context.Context, w *penstock.WorkerInfo) {
	if seesAll(ctx) {
		return
	}
	w.Queues = slices.DeleteFunc(w.Queues, func(queue string) bool { return !sees(ctx, queue) })
	w.Handlers = slices.DeleteFunc(w.Handlers, func(handler string) bool {
		queue, _, _ := strings.Cut(handler, " ")
		return !sees(ctx, queue)
	})
}
