package remote

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/dial"
	"github.com/penstock/penstock/internal/listen"
	"github.com/penstock/penstock/internal/wait"
)

// waitingLine is where claims wait for jobs, in the order in which they came. When a
// queue is notified, or its next job falls due, the first claim in its line gets a turn;
// that one gives the next a turn if it found more than it could take. So however many
// claims wait, a job costs one claim, one connection listens for all, and one query a
// second watches all of their queues.
type waitingLine struct {
	engine   *Engine
	listener *listen.Listener

	// mu guards what follows. Invariant: a waiter is in waiting under each of its queues,
	// in order of arrival, from join to leave.
	mu      sync.Mutex
	open    bool // watch runs: turns will come
	waiting map[string][]*waiter
	idle    map[string]bool // queues still listened to although no claim waited at the last check
	relays  map[string]context.CancelFunc
}

// waiter is a claim that waits.
type waiter struct {
	worker int64
	queues []string
	turn   chan struct{} // one signal
	gone   atomic.Bool   // its worker was declared dead
}

// giveTurn reports whether the waiter had none yet.
func (p *waiter) giveTurn() bool {
	select {
	case p.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

const (
	// afterNotify is when to claim again after a notification: for some milliseconds after
	// one, enqueue sends no other.
	afterNotify = 8 * time.Millisecond
	watchEvery  = time.Second
)

func newWaitingLine(e *Engine, config *pgx.ConnConfig) *waitingLine {
	return &waitingLine{
		engine: e, waiting: map[string][]*waiter{}, idle: map[string]bool{}, relays: map[string]context.CancelFunc{},
		listener: listen.New(listen.Config{
			Connect: dial.Named(config, "remote-listen"), Log: func() *slog.Logger { return e.log },
			Changed:  func(up bool, err error) { e.hooks.Listening(penstock.ListenEvent{Up: up, Err: err}) },
			Notified: func(queue string) { e.hooks.Notified(penstock.NotifyEvent{Queue: queue}) },
		}),
	}
}

// join puts a worker at the end of its queues' lines; nil when nothing would give it a
// turn.
func (l *waitingLine) join(worker int64, queues []string) *waiter {
	p := &waiter{worker: worker, queues: queues, turn: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		return nil
	}
	for _, q := range queues {
		l.waiting[q] = append(l.waiting[q], p)
		delete(l.idle, q)
		if l.relays[q] == nil {
			within, cancel := context.WithCancel(context.Background())
			l.relays[q] = cancel
			go l.relay(within, q)
		}
	}
	return p
}

// leave takes a waiter out. A turn that it has not used goes to the next.
func (l *waitingLine) leave(p *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range p.queues {
		l.waiting[q] = slices.DeleteFunc(l.waiting[q], func(other *waiter) bool { return other == p })
	}
	select {
	case <-p.turn:
		l.callLocked(p.queues)
	default:
	}
}

// awaitListening waits until enqueue notifies of the waiter's queues, 100 ms at most:
// without a connection that can take long, and watch checks once a second anyway.
func (l *waitingLine) awaitListening(ctx context.Context, p *waiter) {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	for _, q := range p.queues {
		select {
		case <-l.listener.Want(q, true):
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// await reports whether it is the waiter's turn before ctx ends.
func (l *waitingLine) await(ctx context.Context, p *waiter) bool {
	select {
	case <-p.turn:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// call gives the first in each line a turn.
func (l *waitingLine) call(queues []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callLocked(queues)
}

// callLocked passes over waiters that have not used their turn yet. REQUIRES: mu.
func (l *waitingLine) callLocked(queues []string) {
	for _, q := range queues {
		for _, p := range l.waiting[q] {
			if p.giveTurn() {
				break
			}
		}
	}
}

// relay calls when the queue is notified, and once more for jobs that came while enqueue
// sent no further notification.
func (l *waitingLine) relay(ctx context.Context, queue string) {
	woken := l.listener.Woken(queue)
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-woken:
			again.Reset(afterNotify)
		case <-again.C:
		case <-ctx.Done():
			return
		}
		l.call([]string{queue})
	}
}

// watch checks every second the queues for which claims wait. It calls where a job is
// due, now or within that second, and stops listening to queues for which no claim has
// waited since the last check. When ctx ends, the relays and the line end too.
func (l *waitingLine) watch(ctx context.Context) {
	l.setOpen(true)
	defer l.stopRelays(func(string) bool { return true })
	defer l.setOpen(false)
	for ctx.Err() == nil {
		wait.For(ctx, watchEvery)
		queues := l.awaited()
		if len(queues) == 0 || ctx.Err() != nil {
			continue
		}
		within, cancel := context.WithTimeout(ctx, claimTimeout)
		due, err := l.engine.queries.DueIn(within, queues)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				l.engine.log.Warn("could not check the queues of waiting claims; trying again", "step", "watch", "error", err)
			}
			continue
		}
		for _, d := range due {
			if d.Due < watchEvery {
				time.AfterFunc(d.Due, func() { l.call([]string{d.Queue}) }) // at once where that is past
			}
		}
	}
}

func (l *waitingLine) setOpen(open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = open
}

// awaited lists the queues for which claims wait.
func (l *waitingLine) awaited() []string {
	l.mu.Lock()
	var queues []string
	for q, places := range l.waiting {
		if len(places) > 0 {
			queues = append(queues, q)
		}
	}
	l.mu.Unlock()
	l.stopRelays(func(q string) bool {
		if len(l.waiting[q]) > 0 {
			return false
		}
		was := l.idle[q]
		l.idle[q] = true
		return was
	})
	return queues
}

// stopRelays ends the relays of the chosen queues, and stops listening to them.
func (l *waitingLine) stopRelays(choose func(queue string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, end := range l.relays {
		if choose(q) {
			end()
			delete(l.relays, q)
			delete(l.idle, q)
			if len(l.waiting[q]) == 0 {
				delete(l.waiting, q)
			}
			l.listener.Want(q, false)
		}
	}
}

// beat sends the heartbeats of workers whose claims wait: their open connection shows that
// they live. The claims of workers that are no longer registered end.
func (l *waitingLine) beat(ctx context.Context) {
	for ctx.Err() == nil {
		wait.For(ctx, BeatEvery)
		places := l.waiters()
		if len(places) == 0 || ctx.Err() != nil {
			continue
		}
		ids := make([]int64, 0, len(places))
		for id := range places {
			ids = append(ids, id)
		}
		within, cancel := context.WithTimeout(ctx, BeatEvery)
		alive, err := l.engine.queries.RemoteBeats(within, ids)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				l.engine.log.Warn("could not send the heartbeats of waiting workers; trying again", "step", "beat", "error", err)
			}
			continue
		}
		for _, id := range alive {
			delete(places, id)
		}
		for _, dead := range places {
			for _, p := range dead {
				p.gone.Store(true)
				p.giveTurn()
			}
		}
	}
}

// waiters lists the waiting claims by worker.
func (l *waitingLine) waiters() map[int64][]*waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[int64][]*waiter{}
	for _, places := range l.waiting {
		for _, p := range places {
			if !slices.Contains(all[p.worker], p) {
				all[p.worker] = append(all[p.worker], p)
			}
		}
	}
	return all
}
