// Package listen receives the notifications of Postgres that jobs have come, on one
// connection for all queues of a process.
//
// Enqueue notifies a queue only while a session holds the queue's shared advisory lock.
// The listener takes that lock for each queue on request, so a process that is busy
// anyway is not notified and costs enqueue nothing.
package listen

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/dial"
	"github.com/penstock/penstock/internal/wait"
)

// Config sets up a Listener. All fields are needed.
type Config struct {
	Connect  *pgx.ConnConfig // of its one connection
	Log      func() *slog.Logger
	Changed  func(up bool, err error) // the connection came up, or went down with err; nil when it stops
	Notified func(queue string)       // a notification arrived
}

// Listener keeps the LISTEN connection. While it has none, no queue is notified, and
// callers poll.
type Listener struct {
	cfg Config

	// mu guards what follows. interrupt, when set, ends the wait for a notification so
	// that a changed request is carried out.
	mu        sync.Mutex
	queues    map[string]*request
	interrupt context.CancelFunc
}

// request is whether a queue's notifications are wanted, and whether they come.
type request struct {
	wake   chan struct{} // one signal
	wanted bool
	locked bool          // true while the connection holds the lock
	met    chan struct{} // closed when locked becomes what wanted is
}

// meet signals that the request is met. REQUIRES: the listener's mu.
func (r *request) meet() {
	select {
	case <-r.met:
	default:
		close(r.met)
	}
}

// signal wakes the queue's waiter once.
func (r *request) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// New makes a Listener and starts nothing.
func New(cfg Config) *Listener { return &Listener{cfg: cfg, queues: map[string]*request{}} }

// Woken returns the channel on which a queue's notifications arrive. It holds one.
func (l *Listener) Woken(queue string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.request(queue).wake
}

// REQUIRES: mu.
func (l *Listener) request(queue string) *request {
	r, ok := l.queues[queue]
	if !ok {
		r = &request{wake: make(chan struct{}, 1)}
		l.queues[queue] = r
	}
	return r
}

// Want sets whether a queue's notifications are wanted from now on. The channel is
// closed once that holds; without a connection that can take long.
func (l *Listener) Want(queue string, wanted bool) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.request(queue)
	if r.wanted != wanted || r.met == nil {
		r.wanted, r.met = wanted, make(chan struct{})
		if r.locked == wanted {
			r.meet()
		} else if l.interrupt != nil {
			l.interrupt()
		}
	}
	return r.met
}

// Run listens until ctx ends, over as many connections as it takes.
func (l *Listener) Run(ctx context.Context) {
	for tries := 0; ctx.Err() == nil; tries++ {
		if tries > 0 {
			wait.For(ctx, wait.Jitter(min(100*time.Millisecond<<min(tries, 5), time.Second)))
		}
		conn, err := dial.Connect(ctx, l.cfg.Connect)
		if err != nil {
			l.cfg.Changed(false, err)
			continue // the heartbeat reports it
		}
		err = l.serve(ctx, conn, &tries)
		dial.Close(conn)
		l.forgetLocks()
		if ctx.Err() != nil {
			err = nil
		}
		l.cfg.Changed(false, err)
		if err != nil {
			l.cfg.Log().Warn("lost the notification connection; polling until it is back", "step", "listen", "error", err)
		}
	}
}

func (l *Listener) serve(ctx context.Context, conn *pgx.Conn, tries *int) error {
	if _, err := conn.Exec(ctx, "LISTEN penstock"); err != nil {
		return err
	}
	*tries = 0
	l.cfg.Changed(true, nil)
	l.wakeAll() // notifications sent before LISTEN were not received
	for {
		waiting, interrupt := context.WithCancel(ctx)
		l.mu.Lock()
		l.interrupt = interrupt
		l.mu.Unlock()
		if err := l.carryOut(ctx, db.New(conn)); err != nil {
			interrupt()
			return err
		}
		note, err := conn.WaitForNotification(waiting)
		interrupted := waiting.Err() != nil
		interrupt()
		if note != nil {
			l.cfg.Notified(note.Payload)
			l.wake(note.Payload)
		}
		if err != nil && (ctx.Err() != nil || !interrupted || conn.IsClosed()) {
			return err
		}
	}
}

// carryOut takes and releases locks until every request is met.
func (l *Listener) carryOut(ctx context.Context, queries *db.Queries) error {
	for {
		queue, wanted, ok := l.unmet()
		if !ok {
			return nil
		}
		change := queries.StopListening
		if wanted {
			change = queries.StartListening
		}
		if err := change(ctx, queue); err != nil {
			return err
		}
		l.mu.Lock()
		r := l.queues[queue]
		r.locked = wanted
		if r.wanted == wanted {
			r.meet()
		}
		l.mu.Unlock()
	}
}

func (l *Listener) unmet() (queue string, wanted, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for queue, r := range l.queues {
		if r.wanted != r.locked {
			return queue, r.wanted, true
		}
	}
	return "", false, false
}

// forgetLocks notes that the locks ended with the connection.
func (l *Listener) forgetLocks() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = nil
	for _, r := range l.queues {
		if r.locked && r.wanted {
			r.met = make(chan struct{})
		}
		r.locked = false
	}
}

func (l *Listener) wake(queue string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.queues[queue]; ok {
		r.signal()
	}
}

func (l *Listener) wakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.queues {
		r.signal()
	}
}
