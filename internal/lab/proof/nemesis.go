package proof

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// nemesis breaks one thing in one way. Start breaks it and Heal mends it; Heal is
// called after every Start, also one that failed, and harms nothing when there is
// nothing to mend. Each is called by one goroutine; rng is its own, so that the seed
// decides what it does and when.
type nemesis interface {
	Name() string
	Start(ctx context.Context, a *arena, rng *rand.Rand) error
	Heal(ctx context.Context, a *arena) error
}

// pace is how often a nemesis strikes and how long it lasts. Times are those of a full
// run; a shorter one has proportionally fewer strikes, but each that fits at least once.
type pace struct {
	nemesis
	every       time.Duration // on average
	least, most time.Duration // until Heal
}

// paces are all nemeses. Those that last beyond the lease are given in leases.
func paces(lease time.Duration) []pace {
	const s = time.Second
	return []pace{
		{&kill{}, 1200 * time.Millisecond, 0, 0},
		{&freeze{}, 12 * s, s / 2, 2 * s},
		{&longFreeze{}, 45 * s, lease + 4*s, lease + 8*s},
		{&crash{}, 30 * s, 0, s / 2},
		{&outage{}, 200 * s, lease + 2*s, lease + 5*s},
		{&terminate{}, 10 * s, 0, 0},
		{&cut{}, 5 * s, 0, 0},
		{&slow{}, 20 * s, 2 * s, 6 * s},
		{&swallow{}, 30 * s, s, lease + 4*s},
		{&drop{}, time.Second, 0, 0},
		{&exhaust{}, 40 * s, s, 2 * s},
		{&exhaustPool{}, 20 * s, 0, 0},
		{&isolation{}, 60 * s, 5 * s, 10 * s},
		{&snapshot{}, 40 * s, 10 * s, 20 * s},
		{&heldClaim{}, 25 * s, 5 * s, 6 * s},
		{&lateClaim{}, 20 * s, s, 2 * s},
		{&staleSweeper{}, 30 * s, lease, lease + s},
		{&secondEnd{}, 10 * s, 0, 0},
		{&midnight{}, 60 * s, 2 * s, 4 * s},
		{&partitions{}, 30 * s, s, 2 * s},
		{&migration{}, 60 * s, 2 * s, 5 * s},
	}
}

// Nemeses are the names of all, for --nemesis.
func Nemeses() (names []string) {
	for _, p := range paces(time.Second) {
		names = append(names, p.Name())
	}
	return names
}

// rage lets every chosen nemesis strike until ctx ends, heals what they broke and
// returns how often each struck.
func rage(ctx context.Context, a *arena, chosen []pace) map[string]int {
	var mu sync.Mutex
	strikes := map[string]int{}
	var all sync.WaitGroup
	for _, p := range chosen {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(a.opts.Seed, hash(p.Name())))
			// The first strike comes early enough for a short run to see it.
			wait := time.Duration(rng.Float64() * float64(min(p.every, a.opts.Duration/3)))
			for rest(ctx, wait) {
				wait = time.Duration((0.5 + rng.Float64()) * float64(p.every))
				if p.strike(ctx, a, rng) {
					mu.Lock()
					strikes[p.Name()]++
					mu.Unlock()
				} else {
					wait = min(wait, 2*time.Second) // as when Postgres was down just then
				}
			}
		})
	}
	all.Wait()
	return strikes
}

// strike is one Start and its Heal; false when it came to nothing.
func (p *pace) strike(ctx context.Context, a *arena, rng *rand.Rand) bool {
	lasts := p.least
	if p.most > p.least {
		lasts += time.Duration(rng.Int64N(int64(p.most - p.least)))
	}
	err := p.Start(ctx, a, rng)
	if err == nil {
		rest(ctx, lasts)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if healErr := p.Heal(within, a); err == nil {
		err = healErr
	}
	if err != nil {
		a.miss(p.Name(), err)
	}
	return err == nil
}

// rest waits for d and reports whether ctx still runs.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func hash(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// choose returns the paces of the names given; all when there are none.
func choose(all []pace, names []string) ([]pace, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []pace
	for _, name := range names {
		i := slices.IndexFunc(all, func(p pace) bool { return p.Name() == name })
		if i < 0 {
			return nil, fmt.Errorf("no nemesis is called %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// instant is for nemeses that leave nothing to mend.
type instant struct{}

func (instant) Heal(context.Context, *arena) error { return nil }
