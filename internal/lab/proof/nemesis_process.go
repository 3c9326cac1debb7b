package proof

import (
	"context"
	"errors"
	"math/rand/v2"
)

// errNoTarget: there was nothing to break at the moment.
var errNoTarget = errors.New("there was no target")

// kill is kill -9 of a process. A successor starts at once.
type kill struct{ nothingToHeal }

func (*kill) Name() string { return "kill" }

func (*kill) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	roles := []string{"worker"}
	switch n := rng.IntN(20); {
	case n < 4:
		roles = []string{"producer"}
	case n < 5:
		roles = []string{"server"}
	}
	p := a.fleet.pick(rng, roles...)
	if p == nil {
		p = a.fleet.pick(rng, "worker")
	}
	if p == nil {
		return errNoTarget
	}
	end := a.beginFault(Fault{Nemesis: "kill", Process: p.number, Kills: true, Note: p.role})
	a.fleet.kill(p)
	end()
	return a.fleet.spawn(p.role)
}

// freeze is SIGSTOP, and SIGCONT in Heal, for less than a lease.
type freeze struct {
	victim *process
	end    func()
}

func (*freeze) Name() string { return "freeze" }

func (f *freeze) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	if f.victim = a.fleet.pick(rng, "worker", "worker", "producer", "server"); f.victim == nil {
		return errNoTarget
	}
	f.end = a.beginFault(Fault{Nemesis: "freeze", Process: f.victim.number, Mute: true, Note: f.victim.role})
	return a.fleet.freeze(f.victim)
}

func (f *freeze) Heal(_ context.Context, a *testbed) error {
	if f.victim != nil {
		a.fleet.thaw(f.victim)
		f.end()
		f.victim = nil
	}
	return nil
}

// longFreeze lasts for longer than the lease. The process that wakes is a zombie: its
// late completions must be refused.
type longFreeze struct{ freeze }

func (*longFreeze) Name() string { return "freeze past the lease" }

func (f *longFreeze) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	if f.victim = a.fleet.pick(rng, "worker"); f.victim == nil {
		return errNoTarget
	}
	f.end = a.beginFault(Fault{Nemesis: f.Name(), Process: f.victim.number, Mute: true, Note: f.victim.role})
	return a.fleet.freeze(f.victim)
}

// exhaustPool makes a process hold every connection of its own pool, as leaking
// handlers do.
type exhaustPool struct{ nothingToHeal }

func (*exhaustPool) Name() string { return "pool exhausted" }

func (*exhaustPool) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	p := a.fleet.pick(rng, "worker", "producer")
	if p == nil {
		return errNoTarget
	}
	a.beginFault(Fault{Nemesis: "pool exhausted", Process: p.number, Note: p.role})()
	p.order(orderExhaust)
	return nil
}
