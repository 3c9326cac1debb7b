package httpapi

import (
	"context"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

// requestInfo is what is known of the request that a context belongs to.
type requestInfo struct {
	operation *validate.Operation
	caller    *caller
	refused   map[int]string   // see checkedBody
	client    *penstock.Client // on the caller's behalf, and in its transaction if the request has one
}

type requestInfoKey struct{}

// requestInfoOf is what the gate has put there. Only what is no operation of openapi.yaml
// gets past the gate without it.
func requestInfoOf(ctx context.Context) *requestInfo {
	x, _ := ctx.Value(requestInfoKey{}).(*requestInfo)
	if x == nil {
		return &requestInfo{caller: anyone}
	}
	return x
}

// client is what a handler calls: the library on behalf of the caller, so that the
// audit log names them, and inside the transaction that an Idempotency-Key opened.
func (h *handlers) client(ctx context.Context) *penstock.Client {
	if x := requestInfoOf(ctx); x.client != nil {
		return x.client
	}
	return h.Client
}

// orEmpty is a list as JSON shows it: [] and never null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// mayUse refuses a queue that the caller's token does not cover. The one in the path is
// checked before the handler runs; a handler checks those in the body.
func mayUse(ctx context.Context, queue string) error {
	if !requestInfoOf(ctx).caller.covers(queue) {
		return errForeignQueue
	}
	return nil
}

// mayAsk is for requests about one queue or, when queue is empty, about all of them.
func mayAsk(ctx context.Context, queue string) error {
	if queue == "" && !seesAll(ctx) {
		return errForeignQueue
	}
	if queue != "" {
		return mayUse(ctx, queue)
	}
	return nil
}

// maySeeJob is maySee for a job, whose queue is looked up if that matters.
func (h *handlers) maySeeJob(ctx context.Context, id int64) error {
	if seesAll(ctx) {
		return nil
	}
	job, err := h.client(ctx).Job(ctx, id)
	if err != nil {
		return err
	}
	return maySee(ctx, job.Queue, penstock.ErrJobNotFound)
}

// maySee is for things looked up by id: one in a queue that the caller's token does not
// cover is not there, which notFound says as it would of an id that never was.
func maySee(ctx context.Context, queue string, notFound error) error {
	if !requestInfoOf(ctx).caller.covers(queue) {
		return notFound
	}
	return nil
}

// seesAll reports whether the caller's token covers every queue: only then may an
// answer that is about all of them be given whole.
func seesAll(ctx context.Context) bool { return requestInfoOf(ctx).caller.everywhere }

// sees reports whether the caller's token covers the queue, for lists over many.
func sees(ctx context.Context, queue string) bool { return requestInfoOf(ctx).caller.covers(queue) }
