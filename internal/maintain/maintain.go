// Package maintain keeps a database of jobs in order: it buries dead workers,
// fails attempts past their deadline, ends expired jobs, makes partitions ahead
// and drops old ones, redrives dead jobs whose time has come, carries redrives on
// and purges old entries, and takes samples for the metrics. Any number of processes run it at once; each step is one
// call that is harmless to repeat, and the database decides.
package maintain

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/failpoint"
)

// Config sets up Run.
type Config struct {
	Lease  time.Duration // a worker silent for so long is buried; 0: 15 s
	Log    *zap.Logger   // nil: silent
	Buried func(workerID int64, lost int)
}

const (
	beatPoll       = time.Second // a third of what a rescue may take beyond the lease
	orphanPoll     = 5 * time.Second
	samplePoll     = 10 * time.Second
	upkeepPoll     = time.Minute
	partitionPoll  = time.Hour
	purgePoll      = time.Hour
	metricsPoll    = 10 * time.Minute
	daysAhead      = 7
	deadlineGrace  = 30 * time.Second
	expireBatch    = 1000
	tallyBatch     = 5000
	pruneBatch     = 10_000
	retryBatch     = 1000
	purgeBatch     = 1000
	redrivePause   = 100 * time.Millisecond
	callTimeout    = 30 * time.Second
	partitionTries = 20
)

// Run maintains until ctx ends. It needs one connection of pool now and then.
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
			{every: orphanPoll, do: m.rescueStrays},
			{every: orphanPoll, do: m.expire},
			{every: samplePoll, do: m.sample},
			{every: upkeepPoll, do: m.prune},
			{every: upkeepPoll, do: m.retryDead},
			{every: partitionPoll, do: m.partitions},
			{every: purgePoll, do: m.purgeDead},
			{every: metricsPoll, do: m.keepMetrics},
		})
	})
	loops.Go(func() { m.redrive(ctx) })
	loops.Wait()
}

type step struct {
	every time.Duration
	due   time.Time
	do    func(context.Context) error
}

// loop does each step when it is due, sooner again after a failure.
func (m *maintainer) loop(ctx context.Context, steps []step) {
	for ctx.Err() == nil {
		next := time.Now().Add(beatPoll)
		for i := range steps {
			s := &steps[i]
			now := time.Now()
			if now.Before(s.due) || ctx.Err() != nil {
				continue
			}
			within, cancel := context.WithTimeout(ctx, callTimeout)
			err := s.do(within)
			cancel()
			s.due = now.Add(s.every)
			if err != nil {
				s.due = now.Add(min(s.every, orphanPoll))
				if ctx.Err() == nil {
					m.cfg.Log.Warn("maintenance step failed; trying again", zap.Error(err))
				}
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
}

// buryDead buries workers whose beat stood still for the lease.
func (m *maintainer) buryDead(ctx context.Context) error {
	beats, err := m.queries.ListBeats(ctx)
	if err != nil {
		m.vigil.interrupted()
		return err
	}
	for _, suspect := range m.vigil.watch(time.Now(), beats) {
		lost, err := m.queries.Bury(ctx, db.BuryParams{WorkerID: suspect.ID, Beat: suspect.Beat})
		if err != nil {
			m.vigil.interrupted()
			return err
		}
		if lost < 0 { // it beat just now, or another sweeper was first
			continue
		}
		m.cfg.Log.Warn("buried a silent worker", zap.Int64("worker_id", suspect.ID), zap.Int32("lost_attempts", lost))
		m.cfg.Buried(suspect.ID, int(lost))
	}
	return nil
}

func (m *maintainer) rescueStrays(ctx context.Context) error {
	lost, err := m.queries.BuryOrphans(ctx)
	if err != nil {
		return err
	}
	overdue, err := m.queries.FailOverdue(ctx, deadlineGrace)
	if err != nil {
		return err
	}
	if lost > 0 || overdue > 0 {
		m.cfg.Log.Warn("ended attempts nobody would have ended", zap.Int32("orphans", lost), zap.Int32("overdue", overdue))
	}
	return nil
}

func (m *maintainer) expire(ctx context.Context) error {
	return repeat(func() (bool, error) {
		n, err := m.queries.ExpireJobs(ctx, expireBatch)
		return n == expireBatch, err
	})
}

// prune forgets what nothing looks back to any more.
func (m *maintainer) prune(ctx context.Context) error {
	if _, err := m.queries.PruneTallies(ctx); err != nil {
		return err
	}
	if _, err := m.queries.PruneRemoteClaims(ctx); err != nil {
		return err
	}
	if _, err := m.queries.PruneDepartures(ctx, pruneBatch); err != nil {
		return err
	}
	if err := repeat(func() (bool, error) {
		n, err := m.queries.PruneReplies(ctx, pruneBatch)
		return n == pruneBatch, err
	}); err != nil {
		return err
	}
	return repeat(func() (bool, error) {
		n, err := m.queries.PruneKeys(ctx, pruneBatch)
		return n == pruneBatch, err
	})
}

// retryDead redrives the dead jobs whose time has come.
func (m *maintainer) retryDead(ctx context.Context) error {
	return repeat(func() (bool, error) {
		ids, err := m.queries.ProcessScheduledRetries(ctx, db.ProcessScheduledRetriesParams{MaxJobs: retryBatch})
		return len(ids) == retryBatch, err
	})
}

// purgeDead deletes the dead jobs that are past their queue's retention.
func (m *maintainer) purgeDead(ctx context.Context) error {
	return repeat(func() (bool, error) {
		n, err := m.queries.PurgeExpiredDead(ctx, purgeBatch)
		return n > 0, err
	})
}

// sample adds what was tallied to the metric samples and looks at the queues' state.
func (m *maintainer) sample(ctx context.Context) error {
	return repeat(func() (bool, error) {
		n, err := m.queries.SampleMetrics(ctx, tallyBatch)
		return n == tallyBatch, err
	})
}

// keepMetrics sums the hours that are over and forgets what is kept no longer.
func (m *maintainer) keepMetrics(ctx context.Context) error {
	if _, err := m.queries.RollUpMetrics(ctx); err != nil {
		return err
	}
	return repeat(func() (bool, error) {
		n, err := m.queries.PruneMetrics(ctx, pruneBatch)
		return n > 0, err
	})
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

// partitions makes the days ahead and drops what is past retention. A lock that
// is not had at once is asked for again, then in an hour.
func (m *maintainer) partitions(ctx context.Context) error {
	var err error
	for range partitionTries {
		if _, err = m.queries.EnsurePartitions(ctx, daysAhead); err == nil || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if err != nil {
		return err
	}
	return repeat(func() (bool, error) {
		day, err := m.queries.DropPartition(ctx)
		if day >= 0 && err == nil {
			m.cfg.Log.Info("dropped a partition past retention",
				zap.Time("first_day", time.Unix(int64(day)*86400, 0).UTC()))
		}
		return day >= 0, err
	})
}

func repeat(once func() (more bool, err error)) error {
	for {
		if more, err := once(); err != nil || !more {
			return err
		}
	}
}
