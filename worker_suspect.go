package penstock

import (
	"context"
	"sync"
	"time"

	"github.com/penstock/penstock/db"
)

// suspects runs the jobs with which two workers have died, one at a time in a process. It
// notes in the database which one runs: if the worker dies then, the crash counts for that
// job alone, and what ran next to it is not moved to the dead letter queue with it.
type suspects struct {
	worker *Worker
	turn   sync.Mutex
}

const (
	suspectCall      = 5 * time.Second        // of a note
	suspectRetry     = 250 * time.Millisecond // for the next suspect while one runs, doubled with each attempt
	mostSuspectRetry = 4 * time.Second
)

// run starts attempt once the note is written. While another suspect runs, and where the
// note cannot be written, the job goes back at no cost.
func (s *suspects) run(x *execution, after func(ending), attempt func()) {
	release := func(why string) {
		after(ending{x: x, outcome: OutcomeReleased, delay: min(suspectRetry<<min(max(int(x.lease.Attempt)-3, 0), 5), mostSuspectRetry), message: "not started: two workers died with this job, and " + why})
	}
	if !s.turn.TryLock() {
		release("another such job runs in this process")
		return
	}
	defer s.turn.Unlock()
	id := s.worker.ID()
	if !s.note(id, &x.lease.JobID) {
		release("it could not be noted that it starts")
		return
	}
	defer s.note(id, nil)
	attempt()
}

func (s *suspects) note(worker int64, job *int64) bool {
	ctx, cancel := context.WithTimeout(context.Background(), suspectCall)
	defer cancel()
	known, err := s.worker.upkeep.SuspectJob(ctx, db.SuspectJobParams{WorkerID: worker, JobID: job})
	if err != nil {
		s.worker.logger().Warn("could not note which job is suspected of ending its workers", "step", "suspect", "error", err)
	}
	return err == nil && known
}
