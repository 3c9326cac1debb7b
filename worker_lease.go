package penstock

import (
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/dial"
	"github.com/penstock/penstock/internal/lab/failpoint"
	"github.com/penstock/penstock/internal/wait"
)

// incarnation is one registration of the worker. Its context ends when the worker was
// declared dead: other workers then have its jobs.
type incarnation struct {
	id  int64
	ctx context.Context
	end context.CancelCauseFunc
}

// leaseholder keeps the worker registered and beating, on a connection of its
// own so that nothing else can delay a beat. It beats often enough for a cancel
// to reach a handler within two seconds.
type leaseholder struct {
	worker *Worker
	config *pgx.ConnConfig

	// mu guards what follows. changed is closed and replaced when current is set.
	mu      sync.Mutex
	current *incarnation
	changed chan struct{}
}

const beatEvery = time.Second

func newLeaseholder(w *Worker, config *pgx.ConnConfig) *leaseholder {
	return &leaseholder{worker: w, config: config, changed: make(chan struct{})}
}

func (h *leaseholder) id() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == nil {
		return 0
	}
	return h.current.id
}

// incarnation waits until the worker is registered; nil when ctx ended first.
func (h *leaseholder) incarnation(ctx context.Context) *incarnation {
	for {
		h.mu.Lock()
		current, changed := h.current, h.changed
		h.mu.Unlock()
		if current != nil {
			return current
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *leaseholder) set(inc *incarnation) {
	h.mu.Lock()
	h.current = inc
	close(h.changed)
	h.changed = make(chan struct{})
	h.mu.Unlock()
}

// lost notes that Postgres does not know inc: its handlers end, and hold registers
// again.
func (h *leaseholder) lost(inc *incarnation) {
	h.mu.Lock()
	mine := h.current == inc
	h.mu.Unlock()
	if mine {
		h.set(nil)
		h.worker.log.Warn("this worker was declared dead while it was silent; it registers again",
			"step", "heartbeat", "worker_id", inc.id)
	}
	inc.end(ErrLeaseLost)
}

// endAll ends the context of everything that runs under the current incarnation.
func (h *leaseholder) endAll(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != nil {
		h.current.end(cause)
	}
}

// hold registers and beats until ctx ends, over as many connections as it takes.
func (h *leaseholder) hold(ctx context.Context) {
	for tries := 0; ctx.Err() == nil; tries++ {
		if tries > 0 {
			wait.For(ctx, wait.Jitter(min(100*time.Millisecond<<min(tries, 5), beatEvery)))
		}
		conn, err := dial.Connect(ctx, h.config)
		if err != nil {
			h.report(ctx, "connect", err)
			continue
		}
		if err := h.beatOn(ctx, conn, &tries); err != nil {
			h.report(ctx, "heartbeat", err)
		}
		dial.Close(conn)
	}
}

// beatOn registers where needed and beats on one connection until that fails.
func (h *leaseholder) beatOn(ctx context.Context, conn *pgx.Conn, tries *int) error {
	queries := db.New(failpoint.Wrap(conn))
	for ctx.Err() == nil {
		h.mu.Lock()
		inc := h.current
		h.mu.Unlock()
		within, cancel := context.WithTimeout(ctx, h.worker.cfg.Lease/3)
		var err error
		if inc == nil {
			err = h.register(within, ctx, queries)
		} else {
			err = h.beat(within, queries, inc)
		}
		cancel()
		if err != nil {
			return err
		}
		*tries = 0
		if h.id() != 0 {
			wait.For(ctx, beatEvery)
		}
	}
	return nil
}

func (h *leaseholder) register(within, alive context.Context, queries *db.Queries) error {
	w := h.worker
	params := db.RegisterWorkerParams{Host: w.cfg.Host, Pid: int32(os.Getpid()), Version: w.cfg.Version}
	for _, name := range slices.Sorted(maps.Keys(w.queues)) {
		q := w.queues[name]
		params.Queues = append(params.Queues, name)
		params.Concurrency += int32(q.cfg.Concurrency)
		params.Slots = append(params.Slots, int32(q.cfg.Concurrency))
		for known := range q.handlers {
			params.Handlers = append(params.Handlers, name+" "+known)
		}
	}
	slices.Sort(params.Handlers)
	id, err := queries.RegisterWorker(within, params)
	if err != nil {
		return translate("register worker", err)
	}
	inc := &incarnation{id: id}
	inc.ctx, inc.end = context.WithCancelCause(alive)
	h.set(inc)
	w.log.Info("worker registered", "step", "register", "worker_id", id, "queues", params.Queues)
	return nil
}

func (h *leaseholder) beat(ctx context.Context, queries *db.Queries, inc *incarnation) error {
	start := time.Now()
	reply, err := queries.Heartbeat(ctx, inc.id)
	h.worker.hooks.Beaten(BeatEvent{time.Since(start), err == nil && !reply.Alive, err})
	if err != nil {
		return translate("heartbeat", err)
	}
	if !reply.Alive {
		h.lost(inc)
		return nil
	}
	if len(reply.Cancels) > 0 {
		for _, q := range h.worker.queues {
			q.cancel(reply.Cancels)
		}
	}
	return nil
}

func (h *leaseholder) report(ctx context.Context, step string, err error) {
	if ctx.Err() == nil {
		h.worker.logger().Warn("postgres is not reachable; trying again", "step", step, "error", err)
	}
}
