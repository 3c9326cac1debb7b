package penstock

import "sync"

// nudges wakes the fetchers of this process without a detour through Postgres
// when a job is enqueued through the same client.
type nudges struct {
	mu     sync.Mutex
	queues map[string]chan struct{}
}

func newNudges() *nudges { return &nudges{queues: map[string]chan struct{}{}} }

// channel is where a queue's fetcher waits; it holds one nudge.
func (n *nudges) channel(queue string) chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.queues[queue]
	if !ok {
		c = make(chan struct{}, 1)
		n.queues[queue] = c
	}
	return c
}

// nudge wakes the queue's fetcher if this process has one.
func (n *nudges) nudge(queue string) {
	n.mu.Lock()
	c, ok := n.queues[queue]
	n.mu.Unlock()
	if ok {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
