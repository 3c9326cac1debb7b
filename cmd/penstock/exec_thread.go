package main

import "runtime"

// starter starts commands on one thread that lives until close, because Linux takes
// the end of the thread that started a process for the end of its parent (dieWithUs).
type starter struct{ calls chan func() }

func newStarter() *starter {
	s := &starter{make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for call := range s.calls {
			call()
		}
	}()
	return s
}

// do runs f on the starter's thread and returns its error. REQUIRES: not closed.
func (s *starter) do(f func() error) error {
	done := make(chan error, 1)
	s.calls <- func() { done <- f() }
	return <-done
}

// close ends the thread. REQUIRES: everything it started has ended.
func (s *starter) close() { close(s.calls) }
