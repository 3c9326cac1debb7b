package penstock

import (
	"slices"
	"time"

	"github.com/penstock/penstock/db"
)

// watermark lets claims pass over index entries that died at the head of each
// lane and cannot be cleaned while somebody's snapshot is held. It serves only
// while plain claims measure slow: then claims start just behind the last key
// taken, and sweeps find what a late commit left behind the mark.
//
// Correct because every write to pending sets run_at no earlier than the clock:
// only a transaction that was under way at the last sweep can commit behind a
// mark. So a sweep need not look further back than to when the oldest of those
// that ended meanwhile began to write. What claims pass over for other reasons
// (another's claim that rolls back, a breaker that closes) may lie anywhere: now
// and then a sweep is full, and enters each lane at its start. By then that can be
// millions of entries: a quarter of the throughput went into it within ten minutes
// of a held snapshot (bench pinned), when every sweep was full.
type watermark struct {
	on        bool
	sweepAt   time.Time // the next sweep, by this process's monotonic clock
	fullAt    time.Time // the next full one
	horizons  []horizon // of sweeps, those that are still needed; the last sweep's is last
	sweptFrom int16     // the lowest lane the last sweep covered
	seen      map[int16]laneKey
}

type laneKey struct {
	runAt time.Time
	id    int64
}

// horizon is what had not ended just before a sweep.
type horizon struct {
	at    time.Time // by the database's clock
	own   int64     // a transaction's id of then: what has a higher one began to write later
	under []int64   // of those that had begun before it, at least: what had not ended, ascending
}

const (
	sweepAtMost = 5 * time.Second // between sweeps (P10)
	sweepShare  = 25              // a sweep's cost is at most one part in so many
	// sweepSlack is at most what passes between a verb's look at the clock and its first
	// write, which gives its transaction an id. Where it is longer, a full sweep finds it.
	sweepSlack = time.Second
)

// slowClaim is when a plain claim measures slow: several times what n jobs cost.
func slowClaim(took time.Duration, n int) bool {
	return took > 8*time.Millisecond+time.Duration(n)*25*time.Microsecond
}

// sweeps reports whether the next claim is to be a sweep.
func (m *watermark) sweeps(now time.Time) bool { return !m.on || !now.Before(m.sweepAt) }

// apply puts the marks into a claim.
func (m *watermark) apply(p *db.ClaimParams) {
	p.Since, p.SweptFrom = &m.horizons[len(m.horizons)-1].at, m.sweptFrom
	m.applySeen(p, func(laneKey) bool { return true })
}

func (m *watermark) applySeen(p *db.ClaimParams, which func(laneKey) bool) {
	for lane, key := range m.seen {
		if which(key) {
			p.SeenPriorities = append(p.SeenPriorities, lane)
			p.SeenRunAts = append(p.SeenRunAts, key.runAt)
			p.SeenIDs = append(p.SeenIDs, key.id)
		}
	}
}

// applySweep makes a claim a sweep as of a horizon, and reports whether it is full.
func (m *watermark) applySweep(p *db.ClaimParams, before horizon, now time.Time) (full bool) {
	floor, ok := m.floor(before)
	if !ok || !now.Before(m.fullAt) {
		return true
	}
	p.Since, p.SweptFrom = &floor, m.sweptFrom
	m.applySeen(p, func(key laneKey) bool { return key.runAt.Before(floor) })
	return false
}

// floor is a time before which nothing was written that became visible between the
// last sweep and now; false when that is not known.
func (m *watermark) floor(now horizon) (time.Time, bool) {
	if len(m.horizons) == 0 {
		return time.Time{}, false
	}
	last := m.horizons[len(m.horizons)-1]
	oldest := last.own // of those that may have ended since
	for _, id := range last.under {
		if _, still := slices.BinarySearch(now.under, id); !still {
			oldest = id
			break
		}
	}
	if i := m.before(oldest); i >= 0 {
		return m.horizons[i].at.Add(-sweepSlack), true
	}
	return time.Time{}, false
}

// before is the last horizon before the transaction began to write, -1 when none is known.
func (m *watermark) before(id int64) int {
	for i, one := range slices.Backward(m.horizons) {
		if one.own < id {
			return i
		}
	}
	return -1
}

// swept notes a sweep of up to asked jobs as of a horizon, and decides whether marks
// are needed. before is zero when nobody asked for it: then marks start with the next.
func (m *watermark) swept(before horizon, full bool, asked int, leases []db.Lease, took time.Duration, now time.Time) {
	if full && !slowClaim(took, len(leases)) {
		*m = watermark{}
		return
	}
	m.on = true
	m.sweepAt = now // until there is a horizon, every claim is plain
	if before.at.IsZero() {
		return
	}
	m.sweepAt = now.Add(min(sweepShare*took, sweepAtMost))
	if full {
		m.fullAt = now.Add(sweepShare * took)
	}
	m.remember(before)
	m.sweptFrom = 1
	if n := len(leases); n == asked { // it did not look below the lane it ended in
		m.sweptFrom = leases[n-1].Priority
	}
	seen := m.seen
	m.seen = map[int16]laneKey{}
	for lane, key := range seen {
		if !full && lane >= m.sweptFrom {
			m.seen[lane] = key
		}
	}
	m.took(leases)
}

// remember adds a horizon and forgets those that no transaction under way needs.
func (m *watermark) remember(now horizon) {
	m.horizons = append(m.horizons, now)
	needed := map[int]bool{len(m.horizons) - 1: true, m.before(now.own): true}
	for _, id := range now.under {
		needed[m.before(id)] = true
	}
	var kept []horizon
	for i, one := range m.horizons {
		if needed[i] {
			kept = append(kept, one)
		}
	}
	m.horizons = kept
}

// took moves the marks of the lanes that leases came from: they are in order, so
// a lane's last one wins.
func (m *watermark) took(leases []db.Lease) {
	for i := range leases {
		m.seen[leases[i].Priority] = laneKey{leases[i].RunAt, leases[i].JobID}
	}
}
