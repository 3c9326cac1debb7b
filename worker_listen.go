package penstock

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/penstock/penstock/db"
)

// listener is the process's one LISTEN connection. For each queue whose fetcher
// sleeps it holds the shared advisory lock that makes enqueue notify at all.
// While it has no connection nobody is notified, and the fetchers' fallback poll
// serves.
type listener struct {
	config *pgx.ConnConfig
	log    *zap.Logger
	hooks  Hooks

	// mu guards what follows. interrupt, when set, ends the wait for a
	// notification so that a changed wish is carried out.
	mu        sync.Mutex
	wishes    map[string]*sleeper
	interrupt context.CancelFunc
}

// sleeper is one queue's wish to be woken, and whether it is met.
type sleeper struct {
	wake   chan struct{} // one signal
	asleep bool          // wanted
	locked bool          // true while the connection holds the lock
	met    chan struct{} // closed when locked becomes what asleep is
}

// meet tells the fetcher that its wish holds. REQUIRES: the listener's mu.
func (s *sleeper) meet() {
	select {
	case <-s.met:
	default:
		close(s.met)
	}
}

func newListener(config *pgx.ConnConfig, log *zap.Logger, hooks Hooks) *listener {
	return &listener{config: config, log: log, hooks: hooks, wishes: map[string]*sleeper{}}
}

// woken is where a queue's notifications arrive.
func (l *listener) woken(queue string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sleeper(queue).wake
}

// REQUIRES: mu.
func (l *listener) sleeper(queue string) *sleeper {
	s, ok := l.wishes[queue]
	if !ok {
		s = &sleeper{wake: make(chan struct{}, 1)}
		l.wishes[queue] = s
	}
	return s
}

// wish says whether the queue's fetcher wants to be notified from now on. The
// channel is closed once that holds; without a connection that can take long.
func (l *listener) wish(queue string, asleep bool) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sleeper(queue)
	if s.asleep != asleep || s.met == nil {
		s.asleep, s.met = asleep, make(chan struct{})
		if s.locked == asleep {
			s.meet()
		} else if l.interrupt != nil {
			l.interrupt()
		}
	}
	return s.met
}

// listen serves until ctx ends.
func (l *listener) listen(ctx context.Context) {
	for tries := 0; ctx.Err() == nil; tries++ {
		if tries > 0 {
			pause(ctx, jitter(min(100*time.Millisecond<<min(tries, 5), time.Second)))
		}
		conn, err := connectWithin(ctx, l.config)
		if err != nil {
			l.hooks.Listening(ListenEvent{Err: err})
			continue // the heartbeat reports it
		}
		err = l.serve(ctx, conn, &tries)
		closeQuietly(conn)
		l.forgetLocks()
		if ctx.Err() != nil {
			err = nil
		}
		l.hooks.Listening(ListenEvent{Err: err})
		if err != nil {
			l.log.Warn("lost the notification connection; polling meanwhile", zap.Error(err))
		}
	}
}

func (l *listener) serve(ctx context.Context, conn *pgx.Conn, tries *int) error {
	if _, err := conn.Exec(ctx, "LISTEN penstock"); err != nil {
		return err
	}
	*tries = 0
	l.hooks.Listening(ListenEvent{Up: true})
	l.wakeAll() // something may have come while nobody listened
	for {
		waiting, interrupt := context.WithCancel(ctx)
		l.mu.Lock()
		l.interrupt = interrupt
		l.mu.Unlock()
		if err := l.grant(ctx, db.New(conn)); err != nil {
			interrupt()
			return err
		}
		note, err := conn.WaitForNotification(waiting)
		interrupted := waiting.Err() != nil
		interrupt()
		if note != nil {
			l.hooks.Notified(NotifyEvent{note.Payload})
			l.wake(note.Payload)
		}
		if err != nil && (ctx.Err() != nil || !interrupted || conn.IsClosed()) {
			return err
		}
	}
}

// grant takes and gives back locks until every wish is met.
func (l *listener) grant(ctx context.Context, queries *db.Queries) error {
	for {
		queue, asleep, ok := l.unmet()
		if !ok {
			return nil
		}
		change := queries.StopListening
		if asleep {
			change = queries.StartListening
		}
		if err := change(ctx, queue); err != nil {
			return err
		}
		l.mu.Lock()
		s := l.wishes[queue]
		s.locked = asleep
		if s.asleep == asleep {
			s.meet()
		}
		l.mu.Unlock()
	}
}

func (l *listener) unmet() (queue string, asleep, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for queue, s := range l.wishes {
		if s.asleep != s.locked {
			return queue, s.asleep, true
		}
	}
	return "", false, false
}

// forgetLocks notes that the locks went with the connection.
func (l *listener) forgetLocks() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = nil
	for _, s := range l.wishes {
		if s.locked && s.asleep {
			s.met = make(chan struct{})
		}
		s.locked = false
	}
}

func (l *listener) wake(queue string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.wishes[queue]; ok {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (l *listener) wakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.wishes {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}
