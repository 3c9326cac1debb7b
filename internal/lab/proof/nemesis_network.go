package proof

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"
)

// hitAllOneIn: one in so many network faults hits every process at once.
const hitAllOneIn = 8

// victims picks one process, or sometimes all.
func victims(a *testbed, rng *rand.Rand) (all []*process, number int) {
	if rng.IntN(hitAllOneIn) == 0 {
		a.fleet.each("", func(p *process) { all = append(all, p) })
		return all, 0
	}
	if p := a.fleet.pick(rng, "worker", "producer"); p != nil {
		return []*process{p}, p.number
	}
	return nil, 0
}

// cutConnections closes the connections of a process at any point of a message.
type cutConnections struct{ nothingToHeal }

func (*cutConnections) Name() string { return "cut" }

func (*cutConnections) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	hit, number := victims(a, rng)
	if len(hit) == 0 {
		return errNoTarget
	}
	defer a.beginFault(Fault{Nemesis: "cut", Process: number, Mute: true})()
	for _, p := range hit {
		p.proxy.CutAll()
	}
	return nil
}

// delay delays everything that passes.
type delay struct {
	hit []*process
	end func()
}

func (*delay) Name() string { return "delay" }

func (s *delay) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	var number int
	if s.hit, number = victims(a, rng); len(s.hit) == 0 {
		return errNoTarget
	}
	s.end = a.beginFault(Fault{Nemesis: "delay", Process: number, Mute: true})
	d := time.Duration(5+rng.IntN(200)) * time.Millisecond
	for _, p := range s.hit {
		p.proxy.Delay(d)
	}
	return nil
}

func (s *delay) Heal(context.Context, *testbed) error {
	for _, p := range s.hit {
		p.proxy.Delay(0)
	}
	if len(s.hit) > 0 {
		s.end()
	}
	s.hit = nil
	return nil
}

// blackHole keeps connections open but passes no data, sometimes for longer than the
// lease. Data under way arrives when it ends.
type blackHole struct {
	hit []*process
	end func()
}

func (*blackHole) Name() string { return "black hole" }

func (s *blackHole) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	var number int
	if s.hit, number = victims(a, rng); len(s.hit) == 0 {
		return errNoTarget
	}
	s.end = a.beginFault(Fault{Nemesis: s.Name(), Process: number, Mute: true})
	for _, p := range s.hit {
		p.proxy.Block()
	}
	return nil
}

func (s *blackHole) Heal(context.Context, *testbed) error {
	for _, p := range s.hit {
		p.proxy.Unblock()
	}
	if len(s.hit) > 0 {
		s.end()
	}
	s.hit = nil
	return nil
}

// dropReply drops the reply to one statement of a process, after Postgres has committed
// it.
type dropReply struct{ nothingToHeal }

// droppable are the statements whose reply may be dropped; more entries make it more
// frequent.
var droppable = []string{
	"commit", "commit", "penstock.finish(", "penstock.complete_many(", "penstock.complete_many(", "penstock.claim(", "penstock.claim(",
	"penstock.claim(", "penstock.enqueue_many(", "penstock.enqueue_many(", "penstock.complete(", "penstock.release_unheld(",
	"penstock.heartbeat(", "penstock.register_worker(",
}

func (*dropReply) Name() string { return "drop reply" }

func (*dropReply) Start(_ context.Context, a *testbed, rng *rand.Rand) error {
	p := a.fleet.pick(rng, "worker", "worker", "producer")
	if p == nil {
		return errNoTarget
	}
	statement := droppable[rng.IntN(len(droppable))]
	a.beginFault(Fault{Nemesis: "drop reply", Process: p.number, Breaks: true, Note: statement})()
	p.proxy.Clear() // a fault that no statement has met yet
	if strings.HasPrefix(statement, "penstock.") {
		p.proxy.CutRows(statement) // most claims return no rows
	} else {
		p.proxy.Cut(statement)
	}
	return nil
}
