package proof

import (
	"context"
	"math/rand/v2"

	"github.com/penstock/penstock"
)

// slowBehindFast puts slow jobs behind many fast ones. The worker's pace suggests that
// much can be leased ahead, and then one job takes a second: what was leased ahead must
// not wait in that worker for long.
type slowBehindFast struct{}

func (*slowBehindFast) Name() string { return "slow jobs behind fast ones" }

// The jobs of one strike: the slow ones take all workers half a minute.
const (
	fastJobs   = 3000
	slowJobs   = 300
	slowMillis = 1000
)

func (n *slowBehindFast) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	// Paused, so that the slow jobs are there when the fast ones are claimed.
	if err := a.client.Queues.Pause(ctx, burstQueue); err != nil {
		return err
	}
	a.beginFault(Fault{Nemesis: n.Name()})()
	for range fastJobs / 1000 {
		if err := a.enqueueNow(ctx, 1000, penstock.NewJob{Queue: burstQueue}, 0); err != nil {
			return err
		}
	}
	if err := a.enqueueNow(ctx, slowJobs, penstock.NewJob{Queue: burstQueue}, slowMillis); err != nil {
		return err
	}
	return a.client.Queues.Resume(ctx, burstQueue)
}

func (*slowBehindFast) Heal(ctx context.Context, a *testbed) error {
	return retryUntilDone(ctx, func() error { return a.client.Queues.Resume(ctx, burstQueue) })
}
