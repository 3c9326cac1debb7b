package httpapi

import (
	"context"
	"errors"
	"time"
)

// recheckEvery is how often a request that waits asks whether its token is still good.
const recheckEvery = time.Second

var errWaitEnded = errors.New("the server is shutting down")

// waiting is ctx for a request that waits for news. It also ends when the server begins
// to shut down, and when the caller's token can no longer be used: then its cause is
// errNoToken, and the caller gets nothing. The caller calls stop.
func waiting(ctx context.Context) (_ context.Context, stop context.CancelFunc) {
	within, cancel := context.WithCancelCause(ctx)
	who := requestInfoOf(ctx).caller
	go func() {
		tick := time.NewTicker(recheckEvery)
		defer tick.Stop()
		for {
			select {
			case <-Draining(ctx):
				cancel(errWaitEnded)
				return
			case <-within.Done():
				return
			case <-tick.C:
				if who.recheck == nil {
					continue
				}
				if err := who.recheck(within); errors.Is(err, errNoToken) {
					cancel(err)
					return
				}
			}
		}
	}()
	return within, func() { cancel(context.Canceled) }
}

// waitedFor returns how a wait ended that brought nothing: nil when the time was up or
// the server shuts down, and the client may ask again.
func waitedFor(within, request context.Context, err error) error {
	switch {
	case err == nil || within.Err() == nil || request.Err() != nil:
		return err
	case errors.Is(context.Cause(within), errNoToken):
		return errNoToken
	}
	return nil
}

// stillAllowed is what a request asks that has waited, before it shows what came.
func stillAllowed(ctx context.Context) error {
	if who := requestInfoOf(ctx).caller; who.recheck != nil {
		return who.recheck(ctx)
	}
	return nil
}
