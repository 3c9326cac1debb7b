package penstock

import (
	"encoding/json"
	"math"
	"time"
)

// Strategy is how the delay before a retry grows.
type Strategy string

// The strategies. With Custom, the handler decides: it returns RetryIn, or has the option
// CustomRetry.
const (
	Exponential Strategy = "exponential"
	Linear      Strategy = "linear"
	Fixed       Strategy = "fixed"
	Custom      Strategy = "custom"
)

// NoDelay is a delay of zero in a RetryStrategy, where 0 means that of the policy. In JSON
// it is 0.
const NoDelay time.Duration = -1

// RetryStrategy is how one job is retried. A zero field is taken from the retry policy of
// its queue and name when the job fails. In JSON, durations are milliseconds, and only an
// absent field is taken from the policy.
type RetryStrategy struct {
	Type        Strategy
	Delay       time.Duration // up to 366 days; NoDelay: none
	Multiplier  float64       // exponential: 1 to 1000
	MaxDelay    time.Duration // the cap, after jitter, up to 366 days; NoDelay: none
	MaxAttempts int           // runs, the first included: 1 to 100
	Jitter      *float64      // 0 to 1: the share of the delay it is spread by, up and down
}

// retryJSON is the strategy as the database and the REST interface spell it.
type retryJSON struct {
	Type        *Strategy `json:"type,omitempty"`
	Delay       *float64  `json:"delay,omitempty"`
	MaxAttempts *int      `json:"maxAttempts,omitempty"`
	Multiplier  *float64  `json:"backoffMultiplier,omitempty"`
	MaxDelay    *float64  `json:"maxDelay,omitempty"`
	Jitter      *float64  `json:"jitter,omitempty"`
}

func milliseconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	ms := float64(d) / float64(time.Millisecond)
	return &ms
}

func retryMilliseconds(d time.Duration) *float64 {
	if d == NoDelay {
		return new(float64)
	}
	return milliseconds(d)
}

func retryDuration(ms *float64) time.Duration {
	switch {
	case ms == nil:
		return 0
	case *ms >= float64(math.MaxInt64/int64(time.Millisecond)):
		return math.MaxInt64 // what does not fit is refused for what it is: too long
	case *ms <= -float64(math.MaxInt64/int64(time.Millisecond)):
		return -math.MaxInt64
	}
	d := time.Duration(*ms * float64(time.Millisecond))
	if d == 0 {
		return NoDelay
	}
	return d
}

// given is a field as JSON has it: absent when it is zero.
func given[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// MarshalJSON writes type, delay, maxAttempts, backoffMultiplier, maxDelay and
// jitter, leaving out what is the policy's.
func (r RetryStrategy) MarshalJSON() ([]byte, error) {
	return json.Marshal(retryJSON{
		given(r.Type), retryMilliseconds(r.Delay), given(r.MaxAttempts), given(r.Multiplier),
		retryMilliseconds(r.MaxDelay), r.Jitter,
	})
}

// UnmarshalJSON reads what MarshalJSON writes. An explicit zero that the struct
// could not tell from an absent field, and that is out of bounds, is refused.
func (r *RetryStrategy) UnmarshalJSON(text []byte) error {
	var wire retryJSON
	if err := json.Unmarshal(text, &wire); err != nil {
		return err
	}
	switch {
	case wire.Type != nil && *wire.Type == "":
		return refuse("retry.type", "exponential, linear, fixed or custom", `""`)
	case wire.MaxAttempts != nil && *wire.MaxAttempts == 0:
		return refuse("retry.maxAttempts", "a whole number from 1 to 100", 0)
	case wire.Multiplier != nil && *wire.Multiplier == 0:
		return refuse("retry.backoffMultiplier", "a number from 1 to 1000", 0)
	}
	*r = RetryStrategy{
		value(wire.Type), retryDuration(wire.Delay), value(wire.Multiplier), retryDuration(wire.MaxDelay),
		value(wire.MaxAttempts), wire.Jitter,
	}
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
// [0, 1) choosing it, and capped again. Unset fields count as zero.
func (r RetryStrategy) RetryDelay(failures int, chance float64) time.Duration {
	base, most, n := max(r.Delay, 0).Seconds(), max(r.MaxDelay, 0).Seconds(), float64(max(failures, 1))
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
