// Package proof checks the promises P1–P13 of package penstock under faults. It starts
// a private PostgreSQL, worker processes and producer processes, and nemeses: each
// nemesis breaks one thing, such as a process, a connection or the server. Every
// process writes each request and each answer to a history file. Triggers in the
// database record every committed change. At the end a judge compares the two and
// prints a counter-example for each broken promise.
//
//	event.go, recorder.go      the histories: one line per request or answer
//	audit.sql, audit.go        the committed changes, recorded by triggers
//	judge*.go                  the judge; it does not know how a run is made
//	child*.go                  the processes: workers, producers, servers
//	testbed.go, fleet.go       the server, the running processes, the log of faults
//	nemesis*.go                the faults; those of nemesis_optional.go only when named
//	environment*.go            full disk, clock jumps, pooler, failover: separate short runs
//	mutant.go                  guards to remove; the proof must then fail
//	run.go, report.go          one run and its report
//
// A run removes everything it made. It keeps the histories if a promise was broken.
package proof

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock/penstock/internal/lab/failpoint"
)

// Options of a run. Child is required.
type Options struct {
	Duration     time.Duration // of the faults, at least 10 s; recovery and judging take extra time
	Seed         uint64        // decides which faults happen when
	Lease        time.Duration // of the workers; 0: 15 s
	Jobs         int           // to enqueue; 0: 1,000,000 in ten minutes
	Workers      int           // processes; 0: 3
	Nemeses      []string      // names; none: all but the optional ones; "all" stands for those
	Environments []string      // of RunEnvironments: names; none: all but those that run only when named
	Failpoint    int           // one in N database calls fails at random; 0: none; needs a build with failpoints
	Mutants      []string      // guards to remove from the database before the run; see Mutants

	Child    []string // the command of a child process, whose main calls Child
	ChildEnv []string // added to its environment
	Serve    bool     // Child can also run as a server

	Keep  string       // directory that keeps the histories; empty: kept only if a promise was broken
	Stage func(string) // called with each stage's name; may be nil

	platform platform
	optional bool // an optional nemesis was chosen
}

// ErrBroken: a promise was broken. Run returns it together with a report.
var ErrBroken = errors.New("a promise was broken")

// ErrOptions: an option is not allowed. The message says which values are.
var ErrOptions = errors.New("proof")

// fullRun and fullJobs are the reference for intervals and default totals.
const (
	fullRun  = 10 * time.Minute
	fullJobs = 1_000_000
)

func (o *Options) fill() error {
	if o.Duration < 10*time.Second || o.Duration > 24*time.Hour {
		return fmt.Errorf("the duration must be 10s to 24h, got %s", o.Duration)
	}
	if o.Lease == 0 {
		o.Lease = 15 * time.Second
	}
	if o.Lease < 2*time.Second || o.Lease > time.Minute {
		return fmt.Errorf("the lease must be 2s to 1m, got %s", o.Lease)
	}
	if o.Jobs == 0 {
		o.Jobs = int(float64(fullJobs) * o.Duration.Seconds() / fullRun.Seconds())
	}
	if o.Jobs < 1 || o.Jobs > numberSpan/10 {
		return fmt.Errorf("the jobs must be 1 to %d, got %d", numberSpan/10, o.Jobs)
	}
	if o.Workers == 0 {
		o.Workers = 3
	}
	if o.Workers < 1 || o.Workers > 32 {
		return fmt.Errorf("the workers must be 1 to 32, got %d", o.Workers)
	}
	if o.Failpoint < 0 || o.Failpoint > 0 && !failpoint.Enabled {
		return errors.New("this build has no failpoints: build it with -tags failpoint, as `make proof` does")
	}
	if o.Failpoint > 0 {
		o.ChildEnv = append(o.ChildEnv, fmt.Sprintf("%s=%d:%d", failpoint.Variable, o.Seed, o.Failpoint))
	}
	if len(o.Child) == 0 {
		return errors.New("no command for child processes")
	}
	if o.Stage == nil {
		o.Stage = func(string) {}
	}
	return nil
}
