// Package maintain keeps a database of jobs in order.
//
// Urgent work runs all the time, as steps: ending the attempts of dead workers, failing
// attempts past their deadline, ending expired jobs, continuing redrives. Other work is
// scheduled tasks, which are rows in the database: retrying and purging dead jobs,
// creating and dropping partitions, deleting old rows.
//
// Any number of processes run this package at once, without a leader. Each step is one
// call that is harmless to repeat, each run of a task is leased to one process, and the
// database decides. A step that fails is tried again within seconds. A task that fails or
// panics is recorded, and tried again after growing waits.
package maintain

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/lab/failpoint"
	"github.com/penstock/penstock/internal/wait"
)

// Config sets up Run.
type Config struct {
	Lease    time.Duration // a worker that is silent for so long is dead; 0: 15 s
	Log      *slog.Logger  // nil: silent
	WorkerID func() int64  // of the worker in this process, for the log; nil: there is none
	Buried   func(workerID int64, lost int)
}

const (
	beatPoll      = time.Second // a third of what ending lost attempts may take beyond the lease
	orphanPoll    = 5 * time.Second
	foldPoll      = time.Second
	deadlineGrace = 30 * time.Second
	expireBatch   = 1000
	redrivePause  = 100 * time.Millisecond

	searchShare = 40
	mostPause   = 10 * time.Minute
	unsettled   = time.Minute // after a worker is gone its claims may still commit
)

// Run maintains until ctx ends. It needs a connection of pool now and then, and one
// for each task that runs.
func Run(ctx context.Context, pool *pgxpool.Pool, cfg Config) {
	if cfg.Lease == 0 {
		cfg.Lease = 15 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Buried == nil {
		cfg.Buried = func(int64, int) {}
	}
	m := &maintainer{queries: db.New(failpoint.Wrap(pool)), cfg: cfg, heartbeats: heartbeatTracker{lease: cfg.Lease}}
	var loops sync.WaitGroup
	// Heartbeats have a loop of their own: their polls must not wait for a long step.
	loops.Go(func() { m.loop(ctx, []step{{name: "bury_workers", every: beatPoll, do: m.buryDead}}) })
	loops.Go(func() {
		m.loop(ctx, []step{
			{name: "end_strays", every: orphanPoll, paced: true, do: m.endStrays},
			{name: "expire_jobs", every: orphanPoll, paced: true, do: m.expire},
		})
	})
	loops.Go(func() { m.loop(ctx, []step{{name: "fold_tallies", every: foldPoll, paced: true, do: m.foldTallies}}) })
	loops.Go(func() { newScheduler(m.queries, m.log, m.tasks()).run(ctx) })
	loops.Go(func() { m.redrive(ctx) })
	loops.Wait()
}

type step struct {
	name  string // for the log
	every time.Duration
	// paced lets it search for work during at most one part in searchShare of the time:
	// while a snapshot is held, what it reads grows with every job, to seconds.
	paced bool
	do    func(context.Context) (found bool, err error)

	began time.Time        // the last time
	took  [2]time.Duration // the last two times, 0 where it found something: one may have been a stall
}

// due is when the step begins again. missed is when a worker was last found to be gone:
// what it left behind is not delayed.
func (s *step) due(missed time.Time) time.Time {
	pause := s.every
	if s.paced && s.began.Sub(missed) > unsettled {
		pause = max(pause, min(searchShare*min(s.took[0], s.took[1]), mostPause))
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
			if time.Now().Before(s.due(time.Unix(0, m.missedAt.Load()))) || ctx.Err() != nil {
				continue
			}
			if err := s.run(ctx); err != nil && ctx.Err() == nil {
				m.log().Warn("maintenance step failed; trying again", "step", s.name, "error", err)
			}
		}
		wait.For(ctx, time.Until(next))
	}
}

type maintainer struct {
	queries    *db.Queries
	cfg        Config
	heartbeats heartbeatTracker
	missedAt   atomic.Int64 // when a worker was last found to be gone, in nanoseconds since 1970
}

// log is the logger with the id that this process's worker has now.
func (m *maintainer) log() *slog.Logger {
	log := m.cfg.Log.With("component", "maintain")
	if m.cfg.WorkerID != nil {
		log = log.With("worker_id", m.cfg.WorkerID())
	}
	return log
}

func (m *maintainer) expire(ctx context.Context) (found bool, err error) {
	expired, err := drain(ctx, func(ctx context.Context) (int, bool, error) {
		n, err := m.queries.ExpireJobs(ctx, expireBatch)
		return int(n), n == expireBatch, err
	})
	return expired > 0, err
}

// redrive continues redrive operations: several batches a second while one is under way,
// else it checks for one every second.
func (m *maintainer) redrive(ctx context.Context) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, callTimeout)
		n, err := m.queries.AdvanceRedrives(within)
		cancel()
		rest := beatPoll
		if err == nil && n >= 0 {
			rest = redrivePause
		} else if err != nil && ctx.Err() == nil {
			m.log().Warn("maintenance step failed; trying again", "step", "redrive", "error", err)
		}
		wait.For(ctx, rest)
	}
}
