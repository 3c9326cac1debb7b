package penstock

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// contain calls f, which runs code of the application: the methods of an error, a hook,
// a retry function. It returns the panic of f as an error, or nil.
func contain(f func()) (panicked *panicError) {
	defer func() {
		if r := recover(); r != nil {
			panicked = &panicError{"panic: " + fmt.Sprint(r), debug.Stack()}
		}
	}()
	f()
	return nil
}

// hookLogEvery is how often the panics of one hook are logged: a hook that panics does
// so for every job.
const hookLogEvery = 10 * time.Second

// containedHook is hook with its panics logged instead of ending the process. A nil hook
// becomes one that does nothing.
func containedHook[E any](log *slog.Logger, name string, hook func(E)) func(E) {
	if hook == nil {
		return func(E) {}
	}
	var loggedAt, unlogged atomic.Int64
	return func(e E) {
		panicked := contain(func() { hook(e) })
		if panicked == nil {
			return
		}
		now, last := time.Now().UnixNano(), loggedAt.Load()
		if now-last < int64(hookLogEvery) || !loggedAt.CompareAndSwap(last, now) {
			unlogged.Add(1)
			return
		}
		log.LogAttrs(context.Background(), slog.LevelError, "a hook panicked", slog.String("component", "hooks"),
			slog.String("hook", name), slog.String("error", panicked.message), slog.Int64("not_logged", unlogged.Swap(0)),
			slog.String("stack", string(panicked.stack)))
	}
}
