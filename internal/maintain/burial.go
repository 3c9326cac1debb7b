package maintain

import (
	"context"
	"time"

	"github.com/penstock/penstock/db"
)

// buryDead ends the attempts of workers whose heartbeat stood still for the lease, and
// removes the workers.
func (m *maintainer) buryDead(ctx context.Context) (found bool, err error) {
	beats, err := m.queries.ListBeats(ctx)
	if err != nil {
		m.heartbeats.interrupted()
		return false, err
	}
	start := time.Now()
	dead := m.heartbeats.observe(start, beats)
	if missed := m.heartbeats.missedAt; !missed.IsZero() {
		m.missedAt.Store(missed.UnixNano())
	}
	// The oldest first, as they are listed, so that none is left however many more die; bury
	// passes over one that another process is burying. The next poll must not be late: a
	// poll that comes late counts as a gap.
	for _, worker := range dead {
		if time.Since(start) > mostGap/2 {
			break
		}
		lost, err := m.queries.Bury(ctx, db.BuryParams{WorkerID: worker.ID, Beat: worker.Beat})
		if err != nil {
			return true, err // the next poll decides about the others
		}
		if lost < 0 { // it beat just now, or another process was first
			continue
		}
		m.log().Warn("declared a silent worker dead; its jobs run again",
			"step", "bury_workers", "dead_worker_id", worker.ID, "lost_attempts", lost)
		m.cfg.Buried(worker.ID, int(lost))
	}
	return len(dead) > 0, nil
}

// endStrays ends attempts that no worker will end: those whose worker is gone, and those
// past their deadline.
func (m *maintainer) endStrays(ctx context.Context) (found bool, err error) {
	orphans, err := m.queries.BuryOrphans(ctx)
	if err != nil {
		return false, err
	}
	overdue, err := m.queries.FailOverdue(ctx, deadlineGrace)
	if err != nil {
		return false, err
	}
	if orphans > 0 || overdue > 0 {
		m.log().Warn("ended orphaned or overdue attempts", "step", "end_strays", "orphans", orphans, "overdue", overdue)
	}
	return orphans+overdue > 0, nil
}
