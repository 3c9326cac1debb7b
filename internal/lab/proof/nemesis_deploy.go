package proof

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/penstock/penstock"
)

// deploy replaces every worker: it starts a successor, orders the old one to drain and
// kills it a moment before its shutdown timeout, as a platform does whose grace is too
// short. Jobs that outlast it are lost again and again, but they did not crash.
type deploy struct {
	nothingToHeal
	began bool
}

func (*deploy) Name() string { return "deploy" }

const (
	deployGrace = 4 * time.Second // less than the shutdown timeout
	deployedMS  = 15_000          // what outlasts every deploy
)

func (d *deploy) Start(ctx context.Context, a *testbed, _ *rand.Rand) error {
	if !d.began {
		if err := a.enqueueNow(ctx, 9, penstock.NewJob{Queue: busyQueue, Priority: penstock.Weight(100)}, deployedMS); err != nil {
			return err
		}
		d.began = true
		sleep(ctx, 2*time.Second) // they run now
	}
	var old []*process
	a.fleet.each("worker", func(p *process) { old = append(old, p) })
	for range old {
		if err := a.fleet.spawn("worker"); err != nil {
			return err
		}
	}
	for _, p := range old {
		a.fleet.drain(p)
	}
	time.Sleep(deployGrace) // also when the run ends: who drains is no more a worker of it
	var killing sync.WaitGroup
	for _, p := range old {
		killing.Go(func() {
			defer a.beginFault(Fault{Nemesis: d.Name(), Process: p.number, Kills: true, Drained: true})()
			a.fleet.kill(p)
		})
	}
	killing.Wait()
	return nil
}
