package penstock

import (
	"encoding/json"
	"math"
	"time"
)

// Strategy is how the delay before a retry grows.
type Strategy string

// The strategies. A custom one brings its own delay: a handler returns RetryIn.
const (
	Exponential Strategy = "exponential"
	Linear      Strategy = "linear"
	Fixed       Strategy = "fixed"
	Custom      Strategy = "custom"
)

// RetryStrategy is what a job may bring of its own; zero fields are looked up in
// its queue's retry policy when it fails. In JSON durations are milliseconds.
type RetryStrategy struct {
	Type        Strategy
	Delay       time.Duration // 0 to 366 days
	Multiplier  float64       // exponential: 1 to 1000
	MaxDelay    time.Duration // the cap, after jitter
	MaxAttempts int           // runs, the first included: 1 to 100
	Jitter      *float64      // 0 to 1: the share of the delay it is spread by, up and down
}

// retryJSON is the strategy as the database and the REST interface spell it.
type retryJSON struct {
	Type        Strategy `json:"type,omitempty"`
	Delay       *float64 `json:"delay,omitempty"`
	MaxAttempts int      `json:"maxAttempts,omitempty"`
	Multiplier  float64  `json:"backoffMultiplier,omitempty"`
	MaxDelay    *float64 `json:"maxDelay,omitempty"`
	Jitter      *float64 `json:"jitter,omitempty"`
}

func milliseconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	ms := float64(d) / float64(time.Millisecond)
	return &ms
}

func duration(ms *float64) time.Duration {
	if ms == nil {
		return 0
	}
	return time.Duration(*ms * float64(time.Millisecond))
}

// MarshalJSON writes type, delay, maxAttempts, backoffMultiplier, maxDelay and
// jitter, leaving out what is zero.
func (r RetryStrategy) MarshalJSON() ([]byte, error) {
	return json.Marshal(retryJSON{
		r.Type, milliseconds(r.Delay), r.MaxAttempts, r.Multiplier, milliseconds(r.MaxDelay), r.Jitter,
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *RetryStrategy) UnmarshalJSON(text []byte) error {
	var wire retryJSON
	if err := json.Unmarshal(text, &wire); err != nil {
		return err
	}
	*r = RetryStrategy{wire.Type, duration(wire.Delay), wire.Multiplier, duration(wire.MaxDelay), wire.MaxAttempts, wire.Jitter}
	return nil
}

// RetryDelay is the wait before the next run after the failures-th failure
// (1, 2, 3 …); penstock.retry_delay in SQL is what runs, and this is the same
// formula for previews and tests:
//
//	fixed, custom  delay
//	linear         delay × failures
//	exponential    delay × multiplier^(failures-1)
//
// capped at MaxDelay, spread by a factor from [1-jitter, 1+jitter), chance in
// [0, 1) choosing it, and capped again. REQUIRES: every field set.
func (r RetryStrategy) RetryDelay(failures int, chance float64) time.Duration {
	base, most, n := r.Delay.Seconds(), r.MaxDelay.Seconds(), float64(max(failures, 1))
	wait := base
	switch r.Type {
	case Linear:
		wait = base * n
	case Exponential:
		wait = base * math.Pow(r.Multiplier, n-1) // +Inf is capped
		if base == 0 {
			wait = 0
		}
	}
	jitter := 0.0
	if r.Jitter != nil {
		jitter = *r.Jitter
	}
	wait = min(most, min(most, wait)*(1+jitter*(2*chance-1)))
	return time.Duration(wait * float64(time.Second))
}
