package proof

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// platform is where a run takes place, if that is not an ordinary server.
type platform struct {
	dir       string            // of the cluster; empty: a temporary directory
	settings  map[string]string // of the server
	environ   []string          // of the server
	nemeses   []schedule        // added for this platform
	twoClocks bool              // the clocks of the server and of the processes differ
	more      bool              // workers serve the queues of optional nemeses

	begin func(context.Context, *testbed) error // called when the schema is installed
	end   func(context.Context, *testbed) error // called when the faults are over
}

// environment is a special platform, tested in a short run of its own.
type environment struct {
	name    string
	prepare func() (p platform, undo func(), err error) // err: why this machine cannot provide it
	keep    []string                                    // of mayLose: the kinds of violations that are no loss; nil: none is looked at
	only    bool                                        // runs only when named
	mayLose bool                                        // acknowledged jobs may be lost; they are counted
}

var environments = []environment{
	{name: "full disk", prepare: fullDisk},
	{name: "clock jumps", prepare: clockJumps},
	{name: "PgBouncer in transaction mode", prepare: bouncer},
	{name: "failover, synchronous", prepare: func() (platform, func(), error) { return failover(true) }},
	{name: "failover, asynchronous", prepare: func() (platform, func(), error) { return failover(false) }, mayLose: true},
	{name: "failover under running handlers", prepare: failoverUnderHandlers, mayLose: true, only: true, keep: []string{
		"ended by another job", "ended twice", "overlapping leases", "attempt reused", "record deleted", "dead entry vanished",
		"effect applied twice", "stuck",
	}},
}

// Environment is the result of one environment's run.
type Environment struct {
	Name    string
	Skipped string  // why it was skipped; empty: it was not
	Struck  string  // how often its own fault struck; "throughout" if the fault is permanent
	MayLose bool    // acknowledged jobs may be lost
	Lost    int     // how many were lost
	Report  *Report // nil when it was skipped
}

// environmentDuration is how long faults last in each.
const environmentDuration = 15 * time.Second

// Environments returns the names of all environments, those that run only when named last.
func Environments() (usual, optional []string) {
	for _, e := range environments {
		if e.only {
			optional = append(optional, e.name)
		} else {
			usual = append(usual, e.name)
		}
	}
	return usual, optional
}

// RunEnvironments makes a short run in every environment that this machine can provide.
// Errors: as Run; ErrBroken if a promise was broken in any of them.
func RunEnvironments(ctx context.Context, opts Options) (all []Environment, err error) {
	for _, name := range opts.Environments {
		if !slices.ContainsFunc(environments, func(e environment) bool { return e.name == name }) {
			return nil, fmt.Errorf("%w: no environment is called %q", ErrOptions, name)
		}
	}
	for _, e := range environments {
		if chosen := slices.Contains(opts.Environments, e.name); !chosen && (e.only || len(opts.Environments) > 0) {
			continue
		}
		one, failed := e.run(ctx, opts)
		if failed != nil && !errors.Is(failed, ErrBroken) {
			return all, fmt.Errorf("%s: %w", e.name, failed)
		}
		all, err = append(all, one), errors.Join(err, failed)
	}
	return all, err
}

func (e *environment) run(ctx context.Context, opts Options) (Environment, error) {
	on, undo, err := e.prepare()
	if err != nil {
		return Environment{Name: e.name, Skipped: err.Error()}, nil
	}
	defer undo()
	opts.Duration, opts.Lease, opts.Jobs, opts.Keep, opts.platform = environmentDuration, 3*time.Second, 4000, "", on
	opts.Nemeses = nil
	if !e.only { // it needs its handlers alive
		opts.Nemeses = []string{"kill", "cut", "drop reply"}
	}
	for _, p := range on.nemeses {
		opts.Nemeses = append(opts.Nemeses, p.Name())
	}
	if stage := opts.Stage; stage != nil {
		opts.Stage = func(text string) { stage(e.name + ": " + text) }
	}
	report, err := Run(ctx, opts)
	one := Environment{Name: e.name, Report: report, Struck: "throughout", MayLose: e.mayLose}
	for _, p := range on.nemeses {
		if report != nil {
			one.Struck = fmt.Sprint(report.Strikes[p.Name()])
			if report.Strikes[p.Name()] == 0 && err == nil {
				err = fmt.Errorf("%s never struck: %s", p.Name(), report.Why[p.Name()])
			}
		}
	}
	if e.mayLose && report != nil {
		// What the promoted server never received is lost, with all its answers.
		one.Lost = report.Violations["lost"]
		lost := func(kind string) bool { return !slices.Contains(e.keep, kind) }
		maps.DeleteFunc(report.Violations, func(kind string, _ int) bool { return lost(kind) })
		report.Examples = slices.DeleteFunc(report.Examples, func(v Violation) bool { return lost(v.Kind) })
		if report.Broken() == 0 {
			err = nil
		}
	}
	return one, err
}
