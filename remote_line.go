package penstock

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// line is where claims wait for jobs, in the order in which they came. A queue's
// notification, or its next job's falling due, calls the first in its line; that one
// calls the next if it found more than it could take. So however many wait, a job
// costs one claim, one connection listens for all, and one query a second looks after
// all of their queues.
type line struct {
	client   *Client
	listener *listener

	// mu guards what follows. Invariant: a place is in waiting under each of its
	// queues, in order of arrival, from join to leave.
	mu      sync.Mutex
	open    bool // watch runs: calls will come
	waiting map[string][]*place
	idle    map[string]bool // queues wished for although nobody waited at the last look
	heralds map[string]context.CancelFunc
}

// place is a claim that waits.
type place struct {
	worker int64
	queues []string
	turn   chan struct{} // one call
	gone   atomic.Bool   // its worker was buried
}

// afterWake is when to look again after a notification: for some milliseconds after
// one, enqueue gives no other.
const afterWake = 8 * time.Millisecond

func newLine(c *Client) *line {
	return &line{
		client: c, listener: newListener(c.pool.Config().ConnConfig, c.log, c.hooks),
		waiting: map[string][]*place{}, idle: map[string]bool{}, heralds: map[string]context.CancelFunc{},
	}
}

// join puts a worker at the end of its queues' lines; nil when nobody would call.
func (l *line) join(worker int64, queues []string) *place {
	p := &place{worker: worker, queues: queues, turn: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		return nil
	}
	for _, q := range queues {
		l.waiting[q] = append(l.waiting[q], p)
		delete(l.idle, q)
		if l.heralds[q] == nil {
			within, cancel := context.WithCancel(context.Background())
			l.heralds[q] = cancel
			go l.herald(within, q)
		}
	}
	return p
}

// leave takes a place out. A call that it has not followed goes to the next.
func (l *line) leave(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range p.queues {
		l.waiting[q] = slices.DeleteFunc(l.waiting[q], func(other *place) bool { return other == p })
	}
	select {
	case <-p.turn:
		l.callLocked(p.queues)
	default:
	}
}

// heard waits until enqueue notifies of the place's queues, for a moment: without a
// connection that can take long, and looking once a second serves meanwhile.
func (l *line) heard(ctx context.Context, p *place) {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	for _, q := range p.queues {
		select {
		case <-l.listener.wish(q, true):
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// wait reports whether it is the place's turn before ctx ends.
func (l *line) wait(ctx context.Context, p *place) bool {
	select {
	case <-p.turn:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// call lets the first in each line look for jobs.
func (l *line) call(queues []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callLocked(queues)
}

// callLocked passes over those that have been called and not looked yet.
// REQUIRES: mu.
func (l *line) callLocked(queues []string) {
	for _, q := range queues {
		for _, p := range l.waiting[q] {
			select {
			case p.turn <- struct{}{}:
			default:
				continue
			}
			break
		}
	}
}

// herald calls when the queue is notified, and once more when enqueue may have kept
// still since.
func (l *line) herald(ctx context.Context, queue string) {
	woken := l.listener.woken(queue)
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-woken:
			again.Reset(afterWake)
		case <-again.C:
		case <-ctx.Done():
			return
		}
		l.call([]string{queue})
	}
}

// watch looks every second after the queues that somebody waits for: it calls where
// a job is due, now or within that second, and lets go of queues that nobody has
// waited for since the last look. When ctx ends, so do the heralds and the line.
func (l *line) watch(ctx context.Context) {
	l.setOpen(true)
	defer l.dismiss(func(string) bool { return true })
	defer l.setOpen(false)
	for ctx.Err() == nil {
		pause(ctx, fallbackPoll)
		queues := l.look()
		if len(queues) == 0 || ctx.Err() != nil {
			continue
		}
		within, cancel := context.WithTimeout(ctx, claimTimeout)
		due, err := l.client.queries.DueIn(within, queues)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				l.client.log.Warn("could not look after waiting claims; trying again", zap.Error(err))
			}
			continue
		}
		for _, d := range due {
			if d.Due < fallbackPoll {
				time.AfterFunc(d.Due, func() { l.call([]string{d.Queue}) }) // at once where that is past
			}
		}
	}
}

func (l *line) setOpen(open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = open
}

// look lists the queues somebody waits for.
func (l *line) look() []string {
	l.mu.Lock()
	var queues []string
	for q, places := range l.waiting {
		if len(places) > 0 {
			queues = append(queues, q)
		}
	}
	l.mu.Unlock()
	l.dismiss(func(q string) bool {
		if len(l.waiting[q]) > 0 {
			return false
		}
		was := l.idle[q]
		l.idle[q] = true
		return was
	})
	return queues
}

// dismiss ends the heralds of the queues chosen, and the wish to be notified of them.
func (l *line) dismiss(choose func(queue string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, end := range l.heralds {
		if choose(q) {
			end()
			delete(l.heralds, q)
			delete(l.idle, q)
			if len(l.waiting[q]) == 0 {
				delete(l.waiting, q)
			}
			l.listener.wish(q, false)
		}
	}
}

// beat keeps those that wait alive: an open connection is a sign of life. Whoever is
// not registered any more is told so.
func (l *line) beat(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, RemoteBeatEvery)
		places := l.places()
		if len(places) == 0 || ctx.Err() != nil {
			continue
		}
		ids := make([]int64, 0, len(places))
		for id := range places {
			ids = append(ids, id)
		}
		within, cancel := context.WithTimeout(ctx, RemoteBeatEvery)
		alive, err := l.client.queries.RemoteBeats(within, ids)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				l.client.log.Warn("could not beat for waiting workers; trying again", zap.Error(err))
			}
			continue
		}
		for _, id := range alive {
			delete(places, id)
		}
		for _, buried := range places {
			for _, p := range buried {
				p.gone.Store(true)
				select {
				case p.turn <- struct{}{}:
				default:
				}
			}
		}
	}
}

// places lists who waits, by worker.
func (l *line) places() map[int64][]*place {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[int64][]*place{}
	for _, places := range l.waiting {
		for _, p := range places {
			if !slices.Contains(all[p.worker], p) {
				all[p.worker] = append(all[p.worker], p)
			}
		}
	}
	return all
}
