// Package wait waits for a time or the end of a context, whichever comes first.
package wait

import (
	"context"
	"math/rand/v2"
	"time"
)

// For waits for d or until ctx ends. The caller asks ctx which it was.
func For(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Jitter is a random duration between d/2 and 3d/2, so that many processes do not
// repeat a call at the same moment.
func Jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1)
}

// Backoff is the wait before try number tries (1, 2 …) of something that failed: first,
// doubled with each try, at most most, with jitter.
func Backoff(tries int, first, most time.Duration) time.Duration {
	return Jitter(min(first<<min(tries, 20), most))
}
