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
	id        int64
	startedAt time.Time // tells it from another worker that got the id after a failover
	ctx       context.Context
	end       context.CancelCauseFunc
}

// leaseholder keeps the worker registered and beating, on a connection of its own so that
// nothing else can delay a beat. While that one is broken and no new one is to be had, it
// beats on any that the worker still has. It beats often enough for a cancel to reach a
// handler within two seconds.
type leaseholder struct {
	worker *Worker
	config *pgx.ConnConfig

	// mu guards what follows. changed is closed and replaced when current is set.
	mu      sync.Mutex
	current *incarnation
	changed chan struct{}
}

const (
	beatEvery = time.Second
	drainCall = 5 * time.Second // of announceDrain
)

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
		conn, err := h.connect(ctx)
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

// connect opens the connection for beats, and beats on the worker's other connections as
// long as that takes.
func (h *leaseholder) connect(ctx context.Context) (*pgx.Conn, error) {
	type result struct {
		conn *pgx.Conn
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		conn, err := dial.Connect(ctx, h.config)
		opened <- result{conn, err}
	}()
	timer := time.NewTimer(beatEvery)
	defer timer.Stop()
	for {
		select {
		case r := <-opened:
			if r.err != nil {
				h.beatElsewhere(ctx)
			}
			return r.conn, r.err
		case <-timer.C:
			h.beatElsewhere(ctx)
			timer.Reset(beatEvery)
		}
	}
}

// beatElsewhere beats on a connection of the pools for upkeep and for claims, whichever
// answers first.
func (h *leaseholder) beatElsewhere(ctx context.Context) {
	h.mu.Lock()
	inc := h.current
	h.mu.Unlock()
	if inc == nil {
		return
	}
	for _, queries := range []*db.Queries{h.worker.upkeep, h.worker.queries} {
		within, cancel := context.WithTimeout(ctx, beatEvery)
		err := h.beat(within, queries, inc)
		cancel()
		if err == nil {
			return
		}
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
	startedAt, err := queries.WorkerStarted(within, id)
	if err != nil {
		return translate("register worker", err)
	}
	inc := &incarnation{id: id, startedAt: startedAt}
	inc.ctx, inc.end = context.WithCancelCause(alive)
	h.set(inc)
	w.log.Info("worker registered", "step", "register", "worker_id", id, "queues", params.Queues)
	return nil
}

func (h *leaseholder) beat(ctx context.Context, queries *db.Queries, inc *incarnation) error {
	start := time.Now()
	reply, err := queries.Heartbeat(ctx, db.HeartbeatParams{WorkerID: inc.id, StartedAt: inc.startedAt, Stuck: int32(h.stuck())})
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
			q.endHeld(reply.Cancels, ErrCancelled)
		}
	}
	return h.watch(ctx, queries, inc)
}

// announceDrain notes in the database that the worker shuts down: what is killed with it
// from now on was not ended by its jobs.
func (h *leaseholder) announceDrain() {
	h.mu.Lock()
	inc := h.current
	h.mu.Unlock()
	if inc == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainCall)
	defer cancel()
	if _, err := h.worker.upkeep.DrainWorker(ctx, db.DrainWorkerParams{WorkerID: inc.id, StartedAt: inc.startedAt}); err != nil {
		h.worker.logger().Warn("could not note that this worker shuts down", "step", "drain", "error", err)
	}
}

func (h *leaseholder) report(ctx context.Context, step string, err error) {
	if ctx.Err() == nil {
		h.worker.logger().Warn("postgres is not reachable; trying again", "step", step, "error", err)
	}
}
