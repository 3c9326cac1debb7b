package penstock

import (
	"context"
	"time"

	"github.com/penstock/penstock/db"
)

// DeadPolicy is what becomes of a queue's dead jobs by themselves. Nil fields are
// those of the policy for every queue (*).
type DeadPolicy struct {
	Queue          string        `json:"queueName"`
	Delay          *Milliseconds `json:"delay,omitempty"`          // before the first redrive; 1 s to 366 days
	Multiplier     *float64      `json:"multiplier,omitempty"`     // of the delay, with each generation; 1–1000
	MaxGenerations *int          `json:"maxGenerations,omitempty"` // 0: never redriven by themselves
	Retention      *Milliseconds `json:"retention,omitempty"`      // older ones are purged by the task dlq-purge; 1 h to 100 years
}

// Policy is a queue's policy with every field filled.
func (c DLQClient) Policy(ctx context.Context, queue string) (DeadPolicy, error) {
	r, err := c.queries.GetDeadPolicy(ctx, queue)
	if err != nil {
		return DeadPolicy{}, translate("get dead letter policy", err)
	}
	n := int(r.MaxGenerations)
	return DeadPolicy{queue, (*Milliseconds)(&r.Delay), &r.Multiplier, &n, (*Milliseconds)(&r.Retention)}, nil
}

// SetPolicy changes the fields that p has. It holds for what dies from now on, a
// retention for everything.
func (c DLQClient) SetPolicy(ctx context.Context, p DeadPolicy) error {
	params := db.SetDeadPolicyParams{
		Queue: p.Queue, Delay: (*time.Duration)(p.Delay), Multiplier: p.Multiplier, Retention: (*time.Duration)(p.Retention),
	}
	if p.MaxGenerations != nil {
		n := int32(min(max(*p.MaxGenerations, -1), 101))
		params.MaxGenerations = &n
	}
	err := c.acting(ctx, func(q *db.Queries) error { return q.SetDeadPolicy(ctx, params) })
	return translate("set dead letter policy", err)
}
