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

// nemesis causes one kind of fault. Start causes it, Heal ends it. Heal is called after
// every Start, also after one that failed, and may find nothing to end. One goroutine
// calls both. rng belongs to this nemesis, so the seed decides what it does and when.
type nemesis interface {
	Name() string
	Start(ctx context.Context, a *testbed, rng *rand.Rand) error
	Heal(ctx context.Context, a *testbed) error
}

// schedule says how often a nemesis strikes and for how long. In a run shorter than ten
// minutes strikes are proportionally fewer, but each nemesis that fits strikes at least
// once.
type schedule struct {
	nemesis
	interval                 time.Duration // on average
	minDuration, maxDuration time.Duration // until Heal
}

// schedules are all nemeses that run by default. Durations beyond the lease are given
// relative to it.
func schedules(lease time.Duration) []schedule {
	const s = time.Second
	return []schedule{
		{&kill{}, 1200 * time.Millisecond, 0, 0},
		{&freeze{}, 12 * s, s / 2, 2 * s},
		{&longFreeze{}, 45 * s, lease + 4*s, lease + 8*s},
		{&crashPostgres{}, 30 * s, 0, s / 2},
		{&longOutage{}, 200 * s, lease + 2*s, lease + 5*s},
		{&terminateSessions{}, 10 * s, 0, 0},
		{&cutConnections{}, 5 * s, 0, 0},
		{&delay{}, 20 * s, 2 * s, 6 * s},
		{&blackHole{}, 30 * s, s, lease + 4*s},
		{&dropReply{}, time.Second, 0, 0},
		{&exhaustConnections{}, 40 * s, s, 2 * s},
		{&exhaustPool{}, 20 * s, 0, 0},
		{&isolationDefault{}, 60 * s, 5 * s, 10 * s},
		{&heldSnapshot{}, 40 * s, 10 * s, 20 * s},
		{&heldClaim{}, 25 * s, 5 * s, 6 * s},
		{&lateClaim{}, 20 * s, s, 2 * s},
		{&staleSweeper{}, 30 * s, lease, lease + s},
		{&secondEnd{}, 10 * s, 0, 0},
		{&midnight{}, 60 * s, 2 * s, 4 * s},
		{&partitions{}, 30 * s, s, 2 * s},
		{&migration{}, 60 * s, 2 * s, 5 * s},
	}
}

// Nemeses returns the names of all nemeses that run by default.
func Nemeses() (names []string) {
	for _, p := range schedules(time.Second) {
		names = append(names, p.Name())
	}
	return names
}

// runNemeses lets every chosen nemesis strike until ctx ends, heals them, and returns
// how often each struck.
func runNemeses(ctx context.Context, a *testbed, chosen []schedule) map[string]int {
	var mu sync.Mutex
	strikes := map[string]int{}
	var all sync.WaitGroup
	for _, p := range chosen {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(a.opts.Seed, hash(p.Name())))
			// The first strike comes early enough for a short run to see it.
			wait := time.Duration(rng.Float64() * float64(min(p.interval, a.opts.Duration/3)))
			for sleep(ctx, wait) {
				wait = time.Duration((0.5 + rng.Float64()) * float64(p.interval))
				if p.strike(ctx, a, rng) {
					mu.Lock()
					strikes[p.Name()]++
					mu.Unlock()
				} else {
					wait = min(wait, 2*time.Second) // for instance Postgres was down
				}
			}
		})
	}
	all.Wait()
	return strikes
}

// strike runs one Start and its Heal. It returns false if nothing was broken.
func (p *schedule) strike(ctx context.Context, a *testbed, rng *rand.Rand) bool {
	lasts := p.minDuration
	if p.maxDuration > p.minDuration {
		lasts += time.Duration(rng.Int64N(int64(p.maxDuration - p.minDuration)))
	}
	err := p.Start(ctx, a, rng)
	if err == nil {
		sleep(ctx, lasts)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if healErr := p.Heal(within, a); err == nil {
		err = healErr
	}
	if err != nil {
		a.recordMiss(p.Name(), err)
	}
	return err == nil
}

// sleep waits for d and reports whether ctx is still active.
func sleep(ctx context.Context, d time.Duration) bool {
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

// selectNemeses returns the schedules of the chosen names.
func (o *Options) selectNemeses() ([]schedule, error) {
	usual := append(schedules(o.Lease), o.platform.nemeses...)
	optional := optionalSchedules(o.Lease)
	if len(o.Nemeses) == 0 {
		return usual, nil
	}
	var chosen []schedule
	for _, name := range o.Nemeses {
		named := func(p schedule) bool { return p.Name() == name }
		switch {
		case name == "all":
			chosen = append(chosen, usual...)
		case slices.ContainsFunc(usual, named):
			chosen = append(chosen, usual[slices.IndexFunc(usual, named)])
		case slices.ContainsFunc(optional, named):
			chosen = append(chosen, optional[slices.IndexFunc(optional, named)])
			o.optional = true
		default:
			return nil, fmt.Errorf("no nemesis is called %q", name)
		}
	}
	return chosen, nil
}

// nothingToHeal is embedded by nemeses whose fault ends by itself.
type nothingToHeal struct{}

func (nothingToHeal) Heal(context.Context, *testbed) error { return nil }
