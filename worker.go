package penstock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/dial"
	"github.com/penstock/penstock/internal/lab/failpoint"
	"github.com/penstock/penstock/internal/listen"
	"github.com/penstock/penstock/internal/maintain"
	"github.com/penstock/penstock/internal/safetext"
)

// WorkerConfig sets up a Worker. Only Queues is needed.
type WorkerConfig struct {
	Queues map[string]QueueConfig

	// ShutdownTimeout is how long Run waits for handlers after its context ended,
	// before it cancels theirs. 0: 20 s, which with the 5 s below fits into the 30 s
	// that Kubernetes waits before it kills; `docker stop` waits only 10 s. Jobs whose
	// handlers still do not return 5 s later are released: another worker may then run
	// them while the old goroutine still does.
	ShutdownTimeout time.Duration

	// StopWhenDrained makes Run return nil once nothing is left to do: no job due
	// or waiting for a retry in any of the queues, and none running here.
	StopWhenDrained bool

	// Lease is how long a worker may be silent before it is declared dead: 2 s or
	// more, 0: 15 s. Workers send a heartbeat every second. Every worker and server of a database
	// should have the same.
	Lease time.Duration

	Middleware []Middleware
	Host       string // empty: os.Hostname
	Version    string // of the handlers; empty: the main module's version
}

// QueueConfig is how a worker serves one queue.
type QueueConfig struct {
	Concurrency int           // handlers at once, 1–10,000; 0: 10
	Timeout     time.Duration // of one attempt, for jobs that bring none; 0: 5 min
}

// Worker runs handlers on the jobs of its queues. One process usually has one.
type Worker struct {
	client  *Client
	cfg     WorkerConfig
	log     *slog.Logger
	hooks   Hooks
	queues  map[string]*servedQueue
	running sync.Mutex // held while Run runs: a worker runs once at a time

	flusher  *flusher
	listener *listen.Listener
	lease    *leaseholder
	suspects suspects

	// Made by Run.
	queries      *db.Queries // for claims and results
	upkeep       *db.Queries // for maintenance and progress, which claims and results must not wait for
	stopFetching context.CancelFunc
	stopBeating  func() // returns when the last beat is over
}

const (
	defaultLease       = 15 * time.Second
	defaultConcurrency = 10
	defaultTimeout     = 5 * time.Minute
	defaultShutdown    = 20 * time.Second
	releaseGrace       = 5 * time.Second
)

// NewWorker makes a worker of the client's database, on connections of its own
// besides the pool's: handlers that use up the pool cannot starve it. It starts
// nothing. Errors name the field of cfg and what is allowed.
func NewWorker(c *Client, cfg WorkerConfig) (*Worker, error) {
	if c == nil || c.pool == nil {
		return nil, errors.New("penstock: NewWorker needs a client that is not in a transaction")
	}
	if len(cfg.Queues) == 0 {
		return nil, errors.New("penstock: WorkerConfig.Queues must name at least one queue")
	}
	if cfg.Lease == 0 {
		cfg.Lease = defaultLease
	}
	if cfg.ShutdownTimeout == 0 {
		cfg.ShutdownTimeout = defaultShutdown
	}
	if cfg.Lease < 2*beatEvery || cfg.ShutdownTimeout < 0 {
		return nil, errors.New("penstock: WorkerConfig.Lease must be at least 2 s, ShutdownTimeout not negative")
	}
	if cfg.Host == "" {
		cfg.Host, _ = os.Hostname()
	}
	if cfg.Version == "" {
		if info, ok := debug.ReadBuildInfo(); ok {
			cfg.Version = info.Main.Version
		}
	}
	w := &Worker{client: c, cfg: cfg, log: c.log.With("component", "worker"), hooks: c.hooks, queues: map[string]*servedQueue{}}
	w.suspects.worker = w
	w.flusher = newFlusher(w)
	w.listener = listen.New(listen.Config{
		Connect: dial.Named(c.pool.Config().ConnConfig, "worker-listen"), Log: w.logger,
		Changed:  func(up bool, err error) { w.hooks.Listening(ListenEvent{up, err}) },
		Notified: func(queue string) { w.hooks.Notified(NotifyEvent{queue}) },
	})
	w.lease = newLeaseholder(w, dial.Named(c.pool.Config().ConnConfig, "worker-beat"))
	for name, q := range cfg.Queues {
		if !safetext.ValidName(name) {
			return nil, refuse("queue", "1 to 128 of letters, digits and . _ - : /", name)
		}
		if q.Concurrency == 0 {
			q.Concurrency = defaultConcurrency
		}
		if q.Timeout == 0 {
			q.Timeout = defaultTimeout
		}
		if q.Concurrency < 1 || q.Concurrency > 10_000 || q.Timeout < time.Millisecond {
			return nil, fmt.Errorf("penstock: queue %s: Concurrency must be 1 to 10000 and Timeout positive", name)
		}
		w.queues[name] = newServedQueue(w, name, q)
	}
	return w, nil
}

// ID is the worker's id in the database, 0 while it is not registered. It
// changes when the worker was declared dead and registers again.
func (w *Worker) ID() int64 { return w.lease.id() }

// logger is the worker's, with its id of now.
func (w *Worker) logger() *slog.Logger { return w.log.With("worker_id", w.ID()) }

// Client is the client that the worker was made with.
func (w *Worker) Client() *Client { return w.client }

// Queues are the names of the queues it serves, sorted.
func (w *Worker) Queues() []string { return slices.Sorted(maps.Keys(w.queues)) }

// Load returns how busy this process is with each queue now, sorted by queue.
func (w *Worker) Load() []QueueLoad {
	var all []QueueLoad
	for _, name := range w.Queues() {
		all = append(all, w.queues[name].load())
	}
	return all
}

func (w *Worker) wrap(h HandlerFunc) HandlerFunc {
	for _, m := range slices.Backward(w.cfg.Middleware) {
		h = m(h)
	}
	return h
}

// Run works until ctx ends, through any restart of Postgres, and then drains:
// it claims no more, releases what has not started, waits for running handlers
// up to ShutdownTimeout, cancels them, and writes every result it can. It
// returns nil after that, and also when StopWhenDrained finds nothing left.
func (w *Worker) Run(ctx context.Context) error {
	if !w.running.TryLock() {
		return errors.New("penstock: this worker is running already")
	}
	defer w.running.Unlock()
	pool, err := w.connect("worker-claim", w.atOnce())
	if err != nil {
		return fmt.Errorf("run worker: %w", err)
	}
	defer pool.Close()
	upkeepPool, err := w.connect("worker-upkeep", 8) // maintenance loops, scheduled tasks, and the progress of handlers
	if err != nil {
		return fmt.Errorf("run worker: %w", err)
	}
	defer upkeepPool.Close()
	w.queries, w.upkeep = db.New(failpoint.Wrap(pool)), db.New(failpoint.Wrap(upkeepPool))
	if err := w.checkCustom(ctx); err != nil {
		return fmt.Errorf("run worker: %w", err)
	}

	// alive outlives ctx: beats, flushes and upkeep go on through the drain.
	alive, die := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	w.startBeating(alive)
	background.Go(func() { w.listener.Run(alive) })
	background.Go(func() { w.flusher.run(alive) })
	background.Go(func() {
		maintain.Run(alive, upkeepPool, maintain.Config{Lease: w.cfg.Lease, Log: w.client.log, WorkerID: w.ID, Buried: func(id int64, lost int) {
			w.hooks.Buried(BuryEvent{id, lost})
		}})
	})
	defer w.lease.set(nil)
	defer background.Wait()
	defer w.stopBeating()
	defer die()

	fetching, stop := context.WithCancel(ctx)
	defer stop()
	w.stopFetching = stop
	var announcing sync.WaitGroup
	announcing.Add(1)
	announced := context.AfterFunc(ctx, func() {
		defer announcing.Done()
		w.lease.announceDrain()
	})
	var fetchers sync.WaitGroup
	for _, q := range w.queues {
		fetchers.Go(func() { q.fetch(fetching) })
	}
	fetchers.Wait()
	if announced() { // the worker stops by itself
		announcing.Done()
	}
	w.drain(alive)
	announcing.Wait()
	return nil
}

// startBeating registers the worker and beats until stopBeating.
func (w *Worker) startBeating(alive context.Context) {
	beating, lastBeat := context.WithCancel(alive)
	var beats sync.WaitGroup
	beats.Go(func() { w.lease.hold(beating) })
	w.stopBeating = func() { lastBeat(); beats.Wait() }
}

// checkCustom returns an error when a policy leaves the delay to a function that the
// handler does not have. It ignores an unreachable database: Run waits for that.
func (w *Worker) checkCustom(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, q := range w.queues {
		for name, h := range q.handlers {
			p, err := w.queries.GetPolicy(ctx, db.GetPolicyParams{Queue: q.name, Name: name})
			if err != nil {
				w.log.Warn("could not read the retry policies; custom strategies are not checked", "step", "start", "error", err)
				return nil
			}
			if h.retry == nil && Strategy(value(p.Strategy)) == Custom {
				return fmt.Errorf("the retry policy of %s/%s is custom, but its handler has no function: "+
					"give Handle a CustomRetry, or set another strategy (penstock policy set)", q.name, name)
			}
		}
	}
	return nil
}

// drain ends what was claimed and deregisters the worker.
func (w *Worker) drain(alive context.Context) {
	for _, q := range w.queues {
		q.releaseUnstarted()
	}
	if !w.waitIdle(w.cfg.ShutdownTimeout) {
		w.lease.endAll(ErrShutdown)
		if !w.waitIdle(releaseGrace) {
			w.logger().Warn("handlers did not return after their context ended; their jobs are released", "step", "drain")
		}
	}
	flushing, cancel := context.WithTimeout(alive, releaseGrace+w.cfg.ShutdownTimeout)
	defer cancel()
	w.flusher.drain(flushing)
	w.stopBeating() // a later beat would find the worker gone and register it again
	if id := w.lease.id(); id != 0 {
		if _, err := w.queries.DeregisterWorker(flushing, id); err != nil {
			w.logger().Warn("could not deregister; jobs still held run again when the lease ends", "step", "drain", "error", err)
		}
	}
}

// waitIdle waits until no handler runs, and reports whether that came in time.
func (w *Worker) waitIdle(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, q := range w.queues {
		select {
		case <-q.idle():
		case <-timer.C:
			return false
		}
	}
	return true
}

// drained reports whether nothing is left to do in any queue.
func (w *Worker) drained(ctx context.Context) bool {
	for _, q := range w.queues {
		if !q.quiet() {
			return false
		}
	}
	if w.flusher.pending() {
		return false
	}
	counts, err := w.queries.CountByState(ctx, nil)
	if err != nil {
		return false
	}
	for _, c := range counts {
		if _, ours := w.queues[c.Queue]; ours && (c.Waiting > 0 || c.Retrying > 0) {
			return false
		}
	}
	return true
}
