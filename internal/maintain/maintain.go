// Package maintain keeps a database of jobs in order. What cannot wait it does all the
// time: it buries dead workers, fails attempts past their deadline, ends expired jobs
// and carries redrives on. The rest is scheduled tasks: rows that say when dead jobs
// are retried and purged, partitions made and dropped, and old rows forgotten.
//
// Any number of processes run it at once, without a leader. Each step is one call that
// is harmless to repeat, each run of a task is leased to one process, and the database
// decides. A step that fails is tried again within seconds; a task that fails or panics
// is recorded, and tried again with growing waits.
package maintain

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/lab/failpoint"
)

// Config sets up Run.
type Config struct {
	Lease  time.Duration // a worker silent for so long is buried; 0: 15 s
	Log    *zap.Logger   // nil: silent
	Buried func(workerID int64, lost int)
}

const (
	beatPoll      = time.Second // a third of what a rescue may take beyond the lease
	orphanPoll    = 5 * time.Second
	foldPoll      = time.Second
	deadlineGrace = 30 * time.Second
	expireBatch   = 1000
	redrivePause  = 100 * time.Millisecond

	lookShare = 40
	mostPause = 10 * time.Minute
	unrest    = time.Minute // after a worker went its claims may still commit
)

// Run maintains until ctx ends. It needs a connection of pool now and then, and one
// for each task that runs.
func Run(ctx context.Context, pool *pgxpool.Pool, cfg Config) {
	if cfg.Lease == 0 {
		cfg.Lease = 15 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Buried == nil {
		cfg.Buried = func(int64, int) {}
	}
	m := &maintainer{queries: db.New(failpoint.Wrap(pool)), cfg: cfg, vigil: vigil{lease: cfg.Lease}}
	var loops sync.WaitGroup
	// The vigil runs apart: its polls must not wait for a long step.
	loops.Go(func() { m.loop(ctx, []step{{every: beatPoll, do: m.buryDead}}) })
	loops.Go(func() {
		m.loop(ctx, []step{
			{every: orphanPoll, paced: true, do: m.rescueStrays},
			{every: orphanPoll, paced: true, do: m.expire},
		})
	})
	loops.Go(func() { m.loop(ctx, []step{{every: foldPoll, paced: true, do: m.foldTallies}}) })
	loops.Go(func() { newScheduler(m.queries, cfg.Log, m.tasks()).run(ctx) })
	loops.Go(func() { m.redrive(ctx) })
	loops.Wait()
}

type step struct {
	every time.Duration
	// paced has it look for work during one part in lookShare of the time at most: while
	// somebody's snapshot is held, what it reads grows with every job, to seconds.
	paced bool
	do    func(context.Context) (found bool, err error)

	began time.Time        // the last time
	took  [2]time.Duration // the last two times, where nothing was found: one may have been a stall
}

// due is when the step begins again. What a worker left that went just now is not put off.
func (s *step) due(went time.Time) time.Time {
	pause := s.every
	if s.paced && s.began.Sub(went) > unrest {
		pause = max(pause, min(lookShare*min(s.took[0], s.took[1]), mostPause))
	}
	return s.began.Add(pause)
}

// run does the step once.
func (s *step) run(ctx context.Context) error {
	s.began = time.Now()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := s.do(ctx)
	s.took[1], s.took[0] = s.took[0], time.Since(s.began)
	if found || err != nil {
		s.took[0] = 0
	}
	return err
}

// loop does each step when it is due, sooner again after a failure.
func (m *maintainer) loop(ctx context.Context, steps []step) {
	for ctx.Err() == nil {
		next := time.Now().Add(beatPoll)
		for i := range steps {
			s := &steps[i]
			if time.Now().Before(s.due(time.Unix(0, m.wentAt.Load()))) || ctx.Err() != nil {
				continue
			}
			if err := s.run(ctx); err != nil && ctx.Err() == nil {
				m.cfg.Log.Warn("maintenance step failed; trying again", zap.Error(err))
			}
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

type maintainer struct {
	queries *db.Queries
	cfg     Config
	vigil   vigil
	wentAt  atomic.Int64 // when a worker was missed last, in nanoseconds since 1970
}

// buryDead buries workers whose beat stood still for the lease.
func (m *maintainer) buryDead(ctx context.Context) (found bool, err error) {
	beats, err := m.queries.ListBeats(ctx)
	if err != nil {
		m.vigil.interrupted()
		return false, err
	}
	start := time.Now()
	suspects := m.vigil.watch(start, beats)
	if went := m.vigil.wentAt; !went.IsZero() {
		m.wentAt.Store(went.UnixNano())
	}
	// The oldest first, as they are listed, so that none is left however many more die; bury
	// passes over the one that another sweeper has. Sweepers poll again in between: a poll
	// that comes late counts as a sleep.
	for _, suspect := range suspects {
		if time.Since(start) > mostGap/2 {
			break
		}
		lost, err := m.queries.Bury(ctx, db.BuryParams{WorkerID: suspect.ID, Beat: suspect.Beat})
		if err != nil {
			return true, err // what it means for the others, the next poll tells
		}
		if lost < 0 { // it beat just now, or another sweeper was first
			continue
		}
		m.cfg.Log.Warn("buried a silent worker", zap.Int64("worker_id", suspect.ID), zap.Int32("lost_attempts", lost))
		m.cfg.Buried(suspect.ID, int(lost))
	}
	return len(suspects) > 0, nil
}

func (m *maintainer) rescueStrays(ctx context.Context) (found bool, err error) {
	lost, err := m.queries.BuryOrphans(ctx)
	if err != nil {
		return false, err
	}
	overdue, err := m.queries.FailOverdue(ctx, deadlineGrace)
	if err != nil {
		return false, err
	}
	if lost > 0 || overdue > 0 {
		m.cfg.Log.Warn("ended attempts nobody would have ended", zap.Int32("orphans", lost), zap.Int32("overdue", overdue))
	}
	return lost+overdue > 0, nil
}

func (m *maintainer) expire(ctx context.Context) (found bool, err error) {
	expired, err := drain(ctx, func(ctx context.Context) (int, bool, error) {
		n, err := m.queries.ExpireJobs(ctx, expireBatch)
		return int(n), n == expireBatch, err
	})
	return expired > 0, err
}

// redrive carries redrive operations on: several batches a second while one is
// under way, else it looks for one every second.
func (m *maintainer) redrive(ctx context.Context) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, callTimeout)
		n, err := m.queries.AdvanceRedrives(within)
		cancel()
		wait := beatPoll
		if err == nil && n >= 0 {
			wait = redrivePause
		} else if err != nil && ctx.Err() == nil {
			m.cfg.Log.Warn("redrive failed; trying again", zap.Error(err))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}
