package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
)

// What is told apart of each kind before the rest is folded. A queue called so by its
// users shares the series.
const (
	other       = "other"
	mostQueues  = 100
	mostNames   = 500 // pairs of queue and name, in all
	mostClasses = 200 // pairs of queue and error class, in all
)

// bounded keeps one value per key, made when the key is first seen. Past most keys a
// new one shares the value of what fold makes of it, so fold's results must be few.
// Reading takes no lock: values are looked up for every job.
type bounded[K comparable, V any] struct {
	most int
	make func(K) V
	fold func(K) K

	known atomic.Pointer[map[K]V] // replaced, never changed
	mu    sync.Mutex              // held to replace known
}

func newBounded[K comparable, V any](most int, make func(K) V, fold func(K) K) *bounded[K, V] {
	b := &bounded[K, V]{most: most, make: make, fold: fold}
	b.known.Store(&map[K]V{})
	return b
}

func (b *bounded[K, V]) of(key K) V {
	if v, ok := (*b.known.Load())[key]; ok {
		return v
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known := *b.known.Load()
	if len(known) >= b.most {
		key = b.fold(key)
	}
	if v, ok := known[key]; ok {
		return v
	}
	v := b.make(key)
	next := maps.Clone(known)
	next[key] = v
	b.known.Store(&next)
	return v
}
