package proof

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"
)

// everyone is the share of strikes on the network that hit every process at once.
const everyone = 8

// victims picks one process, or now and then all.
func victims(a *arena, rng *rand.Rand) (all []*process, number int) {
	if rng.IntN(everyone) == 0 {
		a.fleet.each("", func(p *process) { all = append(all, p) })
		return all, 0
	}
	if p := a.fleet.pick(rng, "worker", "producer"); p != nil {
		return []*process{p}, p.number
	}
	return nil, 0
}

// cut closes the connections of a process in the middle of whatever they carry.
type cut struct{ instant }

func (*cut) Name() string { return "cut" }

func (*cut) Start(_ context.Context, a *arena, rng *rand.Rand) error {
	hit, number := victims(a, rng)
	if len(hit) == 0 {
		return errNobody
	}
	defer a.fault(Fault{Nemesis: "cut", Process: number, Mute: true})()
	for _, p := range hit {
		p.proxy.CutAll()
	}
	return nil
}

// slow delays all that passes.
type slow struct {
	hit []*process
	end func()
}

func (*slow) Name() string { return "delay" }

func (s *slow) Start(_ context.Context, a *arena, rng *rand.Rand) error {
	var number int
	if s.hit, number = victims(a, rng); len(s.hit) == 0 {
		return errNobody
	}
	s.end = a.fault(Fault{Nemesis: "delay", Process: number, Mute: true})
	d := time.Duration(5+rng.IntN(200)) * time.Millisecond
	for _, p := range s.hit {
		p.proxy.Delay(d)
	}
	return nil
}

func (s *slow) Heal(context.Context, *arena) error {
	for _, p := range s.hit {
		p.proxy.Delay(0)
	}
	if len(s.hit) > 0 {
		s.end()
	}
	s.hit = nil
	return nil
}

// swallow is a black hole: connections stay open, new ones too, and nothing passes,
// sometimes for longer than the lease. What was under way arrives when it heals.
type swallow struct {
	hit []*process
	end func()
}

func (*swallow) Name() string { return "black hole" }

func (s *swallow) Start(_ context.Context, a *arena, rng *rand.Rand) error {
	var number int
	if s.hit, number = victims(a, rng); len(s.hit) == 0 {
		return errNobody
	}
	s.end = a.fault(Fault{Nemesis: s.Name(), Process: number, Mute: true})
	for _, p := range s.hit {
		p.proxy.Swallow()
	}
	return nil
}

func (s *swallow) Heal(context.Context, *arena) error {
	for _, p := range s.hit {
		p.proxy.Restore()
	}
	if len(s.hit) > 0 {
		s.end()
	}
	s.hit = nil
	return nil
}

// drop takes away the reply to the next of some statement of a process, after Postgres
// has committed it.
type drop struct{ instant }

// droppable are the statements whose lost replies differ, by how often they are hit.
var droppable = []string{
	"commit", "commit", "penstock.finish(", "penstock.complete_many(", "penstock.complete_many(", "penstock.claim(", "penstock.claim(",
	"penstock.claim(", "penstock.enqueue_many(", "penstock.enqueue_many(", "penstock.complete(", "penstock.release_unheld(",
	"penstock.heartbeat(", "penstock.register_worker(",
}

func (*drop) Name() string { return "drop reply" }

func (*drop) Start(_ context.Context, a *arena, rng *rand.Rand) error {
	p := a.fleet.pick(rng, "worker", "worker", "producer")
	if p == nil {
		return errNobody
	}
	statement := droppable[rng.IntN(len(droppable))]
	a.fault(Fault{Nemesis: "drop reply", Process: p.number, Breaks: true, Note: statement})()
	p.proxy.Forget() // what nothing has met by now
	if strings.HasPrefix(statement, "penstock.") {
		p.proxy.CutRows(statement) // most claims bring nothing
	} else {
		p.proxy.Cut(statement)
	}
	return nil
}
