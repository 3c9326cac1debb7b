package proof

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// place is what a run stands on, where that is not an ordinary server.
type place struct {
	dir       string            // of the cluster; empty: anywhere
	settings  map[string]string // of the server
	environ   []string          // of the server
	nemeses   []pace            // that are for this place
	twoClocks bool              // the server's and the processes' clocks differ

	begin func(context.Context, *arena) error // once the server has the schema
	end   func(context.Context, *arena) error // once the faults are over
}

// environment is a fault of what the queue stands on, in a short run of its own.
type environment struct {
	name string
	make func() (p place, undo func(), err error) // err: this machine does not allow it, and why
	lose bool                                     // acknowledged jobs may be lost: they are counted
}

var environments = []environment{
	{name: "full disk", make: fullDisk},
	{name: "clock jumps", make: clockJumps},
	{name: "PgBouncer in transaction mode", make: bouncer},
	{name: "failover, synchronous", make: func() (place, func(), error) { return failover(true) }},
	{name: "failover, asynchronous", make: func() (place, func(), error) { return failover(false) }, lose: true},
}

// Environment is what came of one.
type Environment struct {
	Name    string
	Skipped string  // why, when it was
	Struck  string  // how often its own fault struck; throughout where it has none
	May     bool    // acknowledged jobs may be lost
	Lost    int     // and so many were
	Report  *Report // nil when it was skipped
}

// environmentRun is how long each lasts.
const environmentRun = 15 * time.Second

// RunEnvironments makes a short run in every environment that this machine allows.
// Errors: as Run; ErrBroken when a promise was broken in any.
func RunEnvironments(ctx context.Context, opts Options) (all []Environment, err error) {
	for _, e := range environments {
		one, failed := e.run(ctx, opts)
		if failed != nil && !errors.Is(failed, ErrBroken) {
			return all, fmt.Errorf("%s: %w", e.name, failed)
		}
		all, err = append(all, one), errors.Join(err, failed)
	}
	return all, err
}

func (e *environment) run(ctx context.Context, opts Options) (Environment, error) {
	place, undo, err := e.make()
	if err != nil {
		return Environment{Name: e.name, Skipped: err.Error()}, nil
	}
	defer undo()
	opts.Duration, opts.Lease, opts.Jobs, opts.Keep, opts.place = environmentRun, 3*time.Second, 4000, "", place
	opts.Nemeses = []string{"kill", "cut", "drop reply"}
	for _, p := range place.nemeses {
		opts.Nemeses = append(opts.Nemeses, p.Name())
	}
	if stage := opts.Stage; stage != nil {
		opts.Stage = func(text string) { stage(e.name + ": " + text) }
	}
	report, err := Run(ctx, opts)
	one := Environment{Name: e.name, Report: report, Struck: "throughout", May: e.lose}
	for _, p := range place.nemeses {
		if report != nil {
			one.Struck = fmt.Sprint(report.Strikes[p.Name()])
			if report.Strikes[p.Name()] == 0 && err == nil {
				err = fmt.Errorf("%s never struck: %s", p.Name(), report.Why[p.Name()])
			}
		}
	}
	if e.lose && report != nil {
		// What the promoted server never had is gone with all that was said of it.
		one.Lost = report.Violations["lost"]
		report.Violations, report.Examples, err = nil, nil, nil
	}
	return one, err
}
