// Package proof shows the promises P1–P13 of package penstock under faults: it starts a
// private PostgreSQL, workers and producers as processes of their own, and nemeses that
// kill, freeze, crash, cut and slow them; every process writes down what it asked and
// was told, the database keeps its own account by triggers, and afterwards a judge
// holds one against the other and prints a counter-example for each promise that was
// broken.
//
//	event.go, history.go   what processes write down, a line at a time
//	audit.sql, audit.go    what the database committed, by its own account
//	check*.go              the judge; it knows nothing of how a run is made
//	child.go, hand.go, producer.go   the processes
//	arena.go, fleet.go     the server, the processes and the log of faults
//	nemesis*.go            what breaks them
//	environment*.go        full disks, clocks, poolers, failovers: runs of their own
//	mutant.go              the guards that a proof must notice the want of
//	run.go, report.go      a run from its seed to its page
//
// A run leaves nothing behind, but for the histories when a promise was broken.
package proof

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock/penstock/internal/lab/failpoint"
)

// Options say what to run. Child is needed.
type Options struct {
	Duration  time.Duration // of the faults; recovery and judgement come on top; at least 10 s
	Seed      uint64        // decides what breaks when
	Lease     time.Duration // of the workers; 0: 15 s
	Jobs      int           // to enqueue; 0: 1,000,000 in ten minutes
	Workers   int           // processes; 0: 3
	Nemeses   []string      // names; none: all
	Failpoint int           // one in so many calls of the database fails by chance; 0: none; needs a build with them
	Mutants   []string      // guards to take out of the database first; see Mutants

	Child    []string // the command of a child process, whose main calls Child
	ChildEnv []string // added to its environment
	Serve    bool     // Child can be a server too

	Keep  string       // a directory for histories to stay in; empty: they stay if a promise was broken
	Stage func(string) // told what goes on; nil: nobody

	place place
}

// ErrBroken is what a run returns beside its report when a promise was broken.
var ErrBroken = errors.New("a promise was broken")

// ErrOptions is what every refusal of options is; the message says what is allowed.
var ErrOptions = errors.New("proof")

// fullRun is what paces and totals refer to.
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
