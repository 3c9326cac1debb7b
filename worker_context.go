package penstock

import (
	"context"
	"sync"
	"time"
)

// attemptContext is what a handler gets: it ends with its parent, at the attempt's
// deadline, when the job is cancelled and when the attempt is over. A context that
// can do so is a timer and a place in its parent's list, 2.1 of the 10 µs of Go that
// a job costs whose handler does nothing; so it is made when something first asks for
// it, and handlers that use neither Done nor Err do not pay for it.
type attemptContext struct {
	parent    context.Context
	execution *execution

	// mu guards what follows. Invariant: once real is made, it ends when cause is set.
	mu       sync.Mutex
	deadline time.Time       // zero before the handler starts
	cause    error           // why it was ended; nil: it was not
	real     context.Context // nil until something asks
	endReal  context.CancelCauseFunc
}

// end ends the context for the first of its causes.
func (c *attemptContext) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
	if c.real != nil {
		c.endReal(cause)
	}
}

// start lets it end after timeout, counted from now.
func (c *attemptContext) start(now time.Time, timeout time.Duration) {
	c.mu.Lock()
	c.deadline = now.Add(timeout)
	c.mu.Unlock()
}

// ended is why the context has ended, nil while it has not.
func (c *attemptContext) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.real != nil:
		return context.Cause(c.real)
	case c.cause != nil:
		return c.cause
	case c.parent.Err() != nil:
		return context.Cause(c.parent)
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return ErrTimeout
	}
	return nil
}

// made is the context itself.
func (c *attemptContext) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.real != nil:
	case c.cause != nil: // ended before anything asked: neither parent nor deadline can be first any more
		c.real, c.endReal = context.WithCancelCause(context.WithoutCancel(c.parent))
		c.endReal(c.cause)
	default:
		timed, stop := context.WithDeadlineCause(c.parent, c.deadline, ErrTimeout)
		real, end := context.WithCancelCause(timed)
		c.real, c.endReal = real, func(cause error) { end(cause); stop() }
	}
	return c.real
}

func (c *attemptContext) Deadline() (time.Time, bool) { return c.made().Deadline() }
func (c *attemptContext) Done() <-chan struct{}       { return c.made().Done() }
func (c *attemptContext) Err() error                  { return c.made().Err() }

// Value answers Result and Progress without making anything. What context itself asks
// its parents under a key of its own has to come from the real one.
func (c *attemptContext) Value(key any) any {
	if key == (executionKey{}) {
		return c.execution
	}
	return c.made().Value(key)
}

// executionKey is where a handler's context has its attempt.
type executionKey struct{}
