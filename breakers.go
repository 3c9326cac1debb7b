package penstock

import (
	"cmp"
	"context"
	"time"

	"github.com/penstock/penstock/db"
)

// BreakerClient reads and changes circuit breakers: client.Breakers. While a breaker is
// open, jobs of that queue and name wait, and one at a time is tried.
type BreakerClient struct{ *scope }

// Breaker is the circuit breaker of a queue and name, or, with name *, of each
// name of the queue by itself.
type Breaker struct {
	Queue         string       `json:"queueName"`
	Name          string       `json:"name"`
	FailureShare  float64      `json:"failureShare"`  // opens at this share, above 0 up to 1; 0 takes 0.5
	LeastAttempts int          `json:"leastAttempts"` // of at least so many attempts; 0 takes 20
	Span          Milliseconds `json:"span"`          // within this time; 0 takes 30 s
	CoolDown      Milliseconds `json:"coolDown"`      // between probes while open; 0 takes 30 s
}

// Set turns a breaker on or changes it.
func (c BreakerClient) Set(ctx context.Context, b Breaker) error {
	p := db.SetBreakerParams{
		Queue: b.Queue, Name: b.Name, Enabled: true, FailureShare: b.FailureShare, LeastAttempts: int32(b.LeastAttempts),
		Span: time.Duration(b.Span), CoolDown: time.Duration(b.CoolDown),
	}
	p.FailureShare, p.LeastAttempts = cmp.Or(p.FailureShare, 0.5), cmp.Or(p.LeastAttempts, 20)
	p.Span, p.CoolDown = cmp.Or(p.Span, 30*time.Second), cmp.Or(p.CoolDown, 30*time.Second)
	return translate("set breaker", c.acting(ctx, func(q *db.Queries) error { return q.SetBreaker(ctx, p) }))
}

// Remove turns a breaker off. Jobs that it held back run when its next
// probe would have run, at the latest.
func (c BreakerClient) Remove(ctx context.Context, queue, name string) error {
	err := c.acting(ctx, func(q *db.Queries) error { return q.SetBreaker(ctx, db.SetBreakerParams{Queue: queue, Name: name}) })
	return translate("remove breaker", err)
}

// BreakerState is a name whose breaker is open, or has been.
type BreakerState struct {
	Name        string     `json:"name"`
	Open        bool       `json:"open"`
	ChangedAt   time.Time  `json:"changedAt"`
	NextProbeAt *time.Time `json:"nextProbeAt,omitempty"`
	Attempts    int64      `json:"attempts"` // of those that opened it
	Failures    int64      `json:"failures"`
}

// BreakerReport is a queue's breakers and what they do now.
type BreakerReport struct {
	Settings []Breaker
	States   []BreakerState // of names whose breaker is open, or has been
}

// List returns a queue's breaker settings and the states of its names.
func (c BreakerClient) List(ctx context.Context, queue string) (BreakerReport, error) {
	rows, err := c.queries.ListBreakerSettings(ctx, queue)
	if err != nil {
		return BreakerReport{}, translate("list breakers", err)
	}
	states, err := c.queries.ListBreakers(ctx, queue)
	if err != nil {
		return BreakerReport{}, translate("list breakers", err)
	}
	breakers, seen := make([]Breaker, len(rows)), make([]BreakerState, len(states))
	for i, r := range rows {
		breakers[i] = Breaker{r.Queue, r.Name, r.FailureShare, int(r.LeastAttempts), Milliseconds(r.Span), Milliseconds(r.CoolDown)}
	}
	for i, s := range states {
		seen[i] = BreakerState{s.Name, s.IsOpen, s.ChangedAt.UTC(), utc(s.NextProbeAt), s.Attempts, s.Failures}
	}
	return BreakerReport{breakers, seen}, nil
}
