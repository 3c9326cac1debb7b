package proof

import (
	"context"
	"errors"
	"math/rand/v2"
)

// errNobody: there was nothing to break just now.
var errNobody = errors.New("nobody was there")

// kill is kill -9 of a process, whose successor starts at once.
type kill struct{ instant }

func (*kill) Name() string { return "kill" }

func (*kill) Start(_ context.Context, a *arena, rng *rand.Rand) error {
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
		return errNobody
	}
	end := a.fault(Fault{Nemesis: "kill", Process: p.number, Kills: true, Note: p.role})
	a.fleet.kill(p)
	end()
	return a.fleet.spawn(p.role)
}

// freeze is SIGSTOP and, in Heal, SIGCONT: for less than a lease.
type freeze struct {
	victim *process
	end    func()
}

func (*freeze) Name() string { return "freeze" }

func (f *freeze) Start(_ context.Context, a *arena, rng *rand.Rand) error {
	if f.victim = a.fleet.pick(rng, "worker", "worker", "producer", "server"); f.victim == nil {
		return errNobody
	}
	f.end = a.fault(Fault{Nemesis: "freeze", Process: f.victim.number, Mute: true, Note: f.victim.role})
	return a.fleet.freeze(f.victim)
}

func (f *freeze) Heal(_ context.Context, a *arena) error {
	if f.victim != nil {
		a.fleet.thaw(f.victim)
		f.end()
		f.victim = nil
	}
	return nil
}

// longFreeze outlasts the lease: what wakes is a zombie, and its late words must not
// count.
type longFreeze struct{ freeze }

func (*longFreeze) Name() string { return "freeze past the lease" }

func (f *longFreeze) Start(_ context.Context, a *arena, rng *rand.Rand) error {
	if f.victim = a.fleet.pick(rng, "worker"); f.victim == nil {
		return errNobody
	}
	f.end = a.fault(Fault{Nemesis: f.Name(), Process: f.victim.number, Mute: true, Note: f.victim.role})
	return a.fleet.freeze(f.victim)
}

// exhaustPool has a process use up its own pool, as handlers that leak do.
type exhaustPool struct{ instant }

func (*exhaustPool) Name() string { return "pool exhausted" }

func (*exhaustPool) Start(_ context.Context, a *arena, rng *rand.Rand) error {
	p := a.fleet.pick(rng, "worker", "producer")
	if p == nil {
		return errNobody
	}
	a.fault(Fault{Nemesis: "pool exhausted", Process: p.number, Note: p.role})()
	p.order(orderExhaust)
	return nil
}
