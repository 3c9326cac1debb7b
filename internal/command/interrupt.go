package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupts turns SIGINT and SIGTERM into two steps: the first ends the command's
// context, which drains it; the second ends the process at once.
type interrupts struct {
	signals chan os.Signal
	Exit    func(code int) // os.Exit; it does not return

	mu     sync.Mutex
	onStop []func() // guarded by mu; called at the first signal
	onExit []func() // guarded by mu; called before exit, must not block
}

func NewInterrupts() *interrupts {
	return &interrupts{signals: make(chan os.Signal, 2), Exit: os.Exit}
}

// interruptedError is the cause of a context that a signal ended.
type interruptedError struct{ signal os.Signal }

func (e interruptedError) Error() string { return fmt.Sprintf("stopped by a signal: %s", e.signal) }

// Stopped has f called when the first signal comes, so that a command can say that it
// drains.
func (i *interrupts) Stopped(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.onStop = append(i.onStop, f)
}

// Exiting has f called when a second signal ends the process: what must not outlive
// it is ended there.
func (i *interrupts) Exiting(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.onExit = append(i.onExit, f)
}

// watch returns a context that the first signal cancels. stop gives the signals back.
func (i *interrupts) watch(parent context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signal.Notify(i.signals, os.Interrupt, syscall.SIGTERM)
	finished := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case s := <-i.signals:
			cancel(interruptedError{s})
			i.call(&i.onStop)
		case <-finished:
			return
		}
		select {
		case s := <-i.signals:
			i.call(&i.onExit)
			i.Exit(128 + signalNumber(s))
		case <-finished:
		}
	})
	return ctx, func() {
		signal.Stop(i.signals)
		close(finished)
		watcher.Wait()
		cancel(nil)
	}
}

func (i *interrupts) call(list *[]func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, f := range *list {
		f()
	}
}

func signalNumber(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}
