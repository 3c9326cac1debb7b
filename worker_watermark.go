package penstock

import (
	"slices"
	"time"

	"github.com/penstock/penstock/db"
)

// watermark lets claims pass over index entries that died at the head of each
// lane and cannot be removed while a snapshot is held. It serves only
// while plain claims measure slow: then claims start just behind the last key
// taken, and sweeps find what a late commit left behind the mark.
//
// Correct because every write to pending sets run_at no earlier than the clock:
// only a transaction that was under way at the last sweep can commit behind a
// mark. So a sweep need not look further back than to when the oldest of those
// that ended since began to write. What was passed over for other reasons (a
// lock that rolled back, a breaker that closes) may lie anywhere: now and then a
// sweep is full, and enters each lane at its start. By then that can be millions
// of entries: with full sweeps only, ten minutes of a held snapshot cost, upkeep's
// looks included, a third of the throughput (bench pinned).
type watermark struct {
	on        bool
	sweepAt   time.Time // the next sweep, by this process's monotonic clock
	fullAt    time.Time // the next full one
	seen      map[int16]mark
	last      *horizon // the last sweep's
	sweptFrom int16    // lanes from here up that have no mark are clean up to last.at; lower ones may hold anything
	horizons  []*horizon
}

// mark is a lane's: as of a horizon, nothing that was visible waits up to the key.
type mark struct {
	laneKey
	asOf *horizon
}

type laneKey struct {
	runAt time.Time
	id    int64
}

func (k laneKey) less(other laneKey) bool {
	return k.runAt.Before(other.runAt) || k.runAt.Equal(other.runAt) && k.id < other.id
}

// horizon is what had not ended just before a sweep, as penstock.horizon returns it.
type horizon struct {
	at     time.Time // by the database's clock
	own    int64     // a transaction's id of then: what has a higher one began to write later
	under  []int64   // of those that began before it, what had not ended, ascending
	merged bool      // aging merges the lanes: a full claim proves nothing about any of them
}

const (
	sweepAtMost = 5 * time.Second // between sweeps (P10)
	sweepShare  = 25              // full sweeps are this many times their cost apart, others too below sweepAtMost
	// sweepSlack is what may pass between a verb's look at the clock and its transaction's
	// getting an id. Where it is more, a full sweep finds what was written.
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
	p.Since, p.SweptFrom = &m.last.at, m.sweptFrom
	for lane, mark := range m.seen {
		enter(p, lane, mark.laneKey)
	}
}

// enter has a claim enter a lane just behind a key.
func enter(p *db.ClaimParams, lane int16, key laneKey) {
	p.SeenPriorities = append(p.SeenPriorities, lane)
	p.SeenRunAts = append(p.SeenRunAts, key.runAt)
	p.SeenIDs = append(p.SeenIDs, key.id)
}

// applySweep makes a claim a sweep, and reports whether it is full: it is also where it is
// not known how far to look back.
func (m *watermark) applySweep(p *db.ClaimParams, before horizon, now time.Time) (full bool) {
	if m.last == nil || !now.Before(m.fullAt) {
		return true
	}
	since, ok := m.floor(m.last, before)
	if !ok {
		return true
	}
	p.Since, p.SweptFrom = &since, m.sweptFrom
	for lane, mark := range m.seen {
		floor, ok := m.floor(mark.asOf, before)
		if !ok {
			continue // it lies below sweptFrom, else as of last, and is entered at its start
		}
		key := laneKey{floor, 0}
		if mark.less(key) {
			key = mark.laneKey
		}
		enter(p, lane, key)
	}
	return false
}

// floor is a time before which nothing was written that became visible between two
// horizons; false when that is not known.
func (m *watermark) floor(from *horizon, to horizon) (time.Time, bool) {
	if to.at.Before(from.at) { // the clock was set back
		return time.Time{}, false
	}
	oldest := from.own // of those that may have ended since
	for _, id := range from.under {
		if _, still := slices.BinarySearch(to.under, id); !still {
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
	for i, h := range slices.Backward(m.horizons) {
		if h.own < id {
			return i
		}
	}
	return -1
}

// swept notes a sweep of up to asked jobs, and decides whether marks are needed. before is
// zero when it was not read: then marks start with the next sweep.
func (m *watermark) swept(before horizon, full bool, asked int, leases []db.Lease, took time.Duration, now time.Time) {
	if before.merged || full && !slowClaim(took, len(leases)) {
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
	} else if len(leases) == 0 {
		return // the queue may be paused, and was not read; an older horizon serves as well
	}
	m.cover(&before, asked, leases)
}

// postpone notes that a full sweep failed, perhaps because it takes longer than a claim may.
func (m *watermark) postpone(took time.Duration, now time.Time) {
	m.fullAt = now.Add(sweepShare * took)
}

// cover moves the marks to what a sweep has taken.
func (m *watermark) cover(now *horizon, asked int, leases []db.Lease) {
	lowest := int16(1)
	if n := len(leases); n == asked { // it did not reach below the lane it ended in
		lowest = leases[n-1].Priority
	}
	marks := map[int16]mark{}
	if m.last != nil {
		for lane := m.sweptFrom; lane < lowest; lane++ {
			marks[lane] = mark{laneKey{m.last.at, 0}, m.last}
		}
	}
	for lane, old := range m.seen {
		if lane >= lowest {
			old.asOf = now
		}
		marks[lane] = old
	}
	for i := range leases {
		l := &leases[i]
		key := laneKey{l.RunAt, l.JobID}
		// The lane it ended in is clean up to there, perhaps not up to where it was.
		if old, known := marks[l.Priority]; !known || old.less(key) || len(leases) == asked && l.Priority == lowest {
			marks[l.Priority] = mark{key, now}
		}
	}
	m.seen, m.last, m.sweptFrom = marks, now, lowest
	m.remember(now)
}

// remember adds a horizon and forgets those that no floor can need any more.
func (m *watermark) remember(now *horizon) {
	m.horizons = append(m.horizons, now)
	needed := map[int]bool{len(m.horizons) - 1: true}
	for _, mark := range m.seen {
		m.need(needed, mark.asOf)
	}
	m.need(needed, now)
	var kept []*horizon
	for i, h := range m.horizons {
		if needed[i] {
			kept = append(kept, h)
		}
	}
	m.horizons = kept
}

func (m *watermark) need(needed map[int]bool, from *horizon) {
	needed[m.before(from.own)] = true
	for _, id := range from.under {
		needed[m.before(id)] = true
	}
}

// took moves the marks of the lanes that a claim behind them took leases from: they are in
// order, so a lane's last one wins.
func (m *watermark) took(leases []db.Lease) {
	for i := range leases {
		l := &leases[i]
		asOf := m.last
		if old, known := m.seen[l.Priority]; known {
			asOf = old.asOf
		}
		m.seen[l.Priority] = mark{laneKey{l.RunAt, l.JobID}, asOf}
	}
}
