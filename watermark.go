package penstock

import (
	"time"

	"github.com/penstock/penstock/db"
)

// watermark lets claims pass over index entries that died at the head of each
// lane and cannot be cleaned while somebody's snapshot is held. It serves only
// while plain claims measure slow: then claims start just behind the last key
// taken, and a plain sweep, which also finds what a late commit left behind the
// mark, runs at ten times its own cost, at most five seconds apart.
//
// Correct because every write to pending sets run_at no earlier than the clock:
// only a commit later than the sweep can lie behind a mark.
type watermark struct {
	on        bool
	sweepAt   time.Time // the next plain sweep, by this process's monotonic clock
	since     time.Time // database time before the last sweep
	sweptFrom int16     // the lowest lane that sweep covered
	seen      map[int16]laneKey
}

type laneKey struct {
	runAt time.Time
	id    int64
}

const sweepAtMost = 5 * time.Second

// slowClaim is when a plain claim measures slow: several times what n jobs cost.
func slowClaim(took time.Duration, n int) bool {
	return took > 8*time.Millisecond+time.Duration(n)*25*time.Microsecond
}

// sweeps reports whether the next claim is to be plain.
func (m *watermark) sweeps(now time.Time) bool { return !m.on || !now.Before(m.sweepAt) }

// apply puts the marks into a claim.
func (m *watermark) apply(p *db.ClaimParams) {
	p.Since, p.SweptFrom = &m.since, m.sweptFrom
	for lane, key := range m.seen {
		p.SeenPriorities = append(p.SeenPriorities, lane)
		p.SeenRunAts = append(p.SeenRunAts, key.runAt)
		p.SeenIDs = append(p.SeenIDs, key.id)
	}
}

// swept notes a plain claim of up to asked jobs that started at the database
// time before, and decides whether marks are needed. before is zero when nobody
// asked for it: then marks start with the next sweep.
func (m *watermark) swept(before time.Time, asked int, leases []db.Lease, took time.Duration, now time.Time) {
	if !slowClaim(took, len(leases)) {
		*m = watermark{}
		return
	}
	m.on = true
	m.sweepAt = now // until there is a floor, every claim is plain
	if before.IsZero() {
		return
	}
	m.sweepAt = now.Add(min(10*took, sweepAtMost))
	m.since, m.sweptFrom, m.seen = before, 1, map[int16]laneKey{}
	if n := len(leases); n == asked { // full: it did not look below the lane it ended in
		m.sweptFrom = leases[n-1].Priority
	}
	m.took(leases)
}

// took moves the marks of the lanes that leases came from: they are in order, so
// a lane's last one wins.
func (m *watermark) took(leases []db.Lease) {
	for i := range leases {
		m.seen[leases[i].Priority] = laneKey{leases[i].RunAt, leases[i].JobID}
	}
}
