package penstock

import "sync"

// localWakeups wakes the fetchers of this process directly, without a notification
// from Postgres, when a job is enqueued through the same client.
type localWakeups struct {
	mu     sync.Mutex
	queues map[string]chan struct{}
}

func newLocalWakeups() *localWakeups { return &localWakeups{queues: map[string]chan struct{}{}} }

// channel returns the channel on which a queue's fetcher waits. It holds one signal.
func (w *localWakeups) channel(queue string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.queues[queue]
	if !ok {
		c = make(chan struct{}, 1)
		w.queues[queue] = c
	}
	return c
}

// wake wakes the queue's fetcher if this process has one.
func (w *localWakeups) wake(queue string) {
	w.mu.Lock()
	c, ok := w.queues[queue]
	w.mu.Unlock()
	if ok {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
