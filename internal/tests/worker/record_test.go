package worker_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds every wait for an event on a machine that is busy. No claim
// depends on it.
const patience = 50 * time.Second

// record keeps events in order and lets a test wait for one.
type record[T any] struct {
	mu      sync.Mutex
	all     []T
	changed chan struct{} // closed and replaced with each event
}

func newRecord[T any]() *record[T] { return &record[T]{changed: make(chan struct{})} }

func (r *record[T]) add(event T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, event)
	close(r.changed)
	r.changed = make(chan struct{})
}

// which returns the events that match, in order.
func (r *record[T]) which(match func(T) bool) []T {
	found, _ := r.look(match)
	return found
}

// look also returns what is closed at the next event.
func (r *record[T]) look(match func(T) bool) (found []T, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.all {
		if match(event) {
			found = append(found, event)
		}
	}
	return found, r.changed
}

// await returns the first n events that match, as soon as there are so many.
func (r *record[T]) await(t testing.TB, what string, n int, match func(T) bool) []T {
	t.Helper()
	late := time.After(patience)
	for {
		found, changed := r.look(match)
		if len(found) >= n {
			return found[:n]
		}
		select {
		case <-changed:
		case <-late:
			all := r.which(func(T) bool { return true })
			require.FailNowf(t, "awaited in vain: "+what, "%d of %d came; the last events: %+v",
				len(found), n, all[max(0, len(all)-20):])
		}
	}
}

// await takes a value from c within patience.
func await[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.FailNow(t, "awaited in vain: "+what)
	}
	return v
}

// gate returns a channel that is closed by open, or else by the end of the test, so
// that what waits for it does not outlive a test that failed.
func gate(t testing.TB) (shut <-chan struct{}, open func()) {
	c := make(chan struct{})
	open = sync.OnceFunc(func() { close(c) })
	t.Cleanup(open)
	return c, open
}
