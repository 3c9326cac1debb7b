package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock"
)

const (
	producers    = 2
	patience     = 45 * time.Second // time allowed for recovery after the last fault
	pollInterval = 200 * time.Millisecond
)

// Run makes one run and judges it. Errors: ErrOptions; ErrBroken together with a
// report; any other error means that the run could not be made or judged, and there is
// no report.
func Run(ctx context.Context, opts Options) (_ *Report, err error) {
	if err := opts.fill(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	chosen, err := opts.selectNemeses()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	r := &run{opts: &opts, report: newReport(&opts, chosen)}
	if err := r.prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare the proof: %w", err)
	}
	defer r.clean()
	if err := r.execute(ctx, chosen); err != nil {
		return nil, err
	}
	if err := r.judge(ctx); err != nil {
		return nil, fmt.Errorf("judge the proof: %w", err)
	}
	if r.report.Broken() > 0 {
		return r.report, ErrBroken
	}
	return r.report, nil
}

type run struct {
	opts   *Options
	arena  *testbed
	dir    string
	kept   bool // dir must not be removed: it holds evidence
	report *Report

	healed      time.Time
	drained     bool
	liveWorkers []int // worker processes alive at the end
	complaints  []Violation
}

func (r *run) prepare(ctx context.Context) (err error) {
	r.opts.Stage("starting a private PostgreSQL")
	if r.dir, err = os.MkdirTemp("", "pp-"); err != nil {
		return err
	}
	history := filepath.Join(r.dir, "history")
	if r.opts.Keep != "" {
		if history, err = filepath.Abs(r.opts.Keep); err != nil {
			return err
		}
		if err := os.Symlink(history, filepath.Join(r.dir, "history")); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(history, 0o700); err != nil {
		return err
	}
	if r.arena, err = openTestbed(ctx, r.opts, r.dir); err != nil {
		return err
	}
	r.report.Postgres = r.arena.server.Version()
	return applyMutants(ctx, r.arena, r.opts.Mutants)
}

func (r *run) clean() {
	r.arena.close()
	if !r.kept {
		_ = os.RemoveAll(r.dir)
	}
}

// execute runs processes and faults, and then waits without faults until every job is
// done.
func (r *run) execute(ctx context.Context, chosen []schedule) error {
	a := r.arena
	a.fleet.rate = float64(r.opts.Jobs) / r.opts.Duration.Seconds() / producers
	a.fleet.maxJobs = int64(r.opts.Jobs) // each producer may enqueue all, so that a killed one's successor can finish
	roles := map[string]int{"worker": r.opts.Workers, "producer": producers}
	if r.opts.Serve {
		roles["server"] = 2
	}
	for role, n := range roles {
		for range n {
			if err := a.fleet.spawn(role); err != nil {
				return err
			}
		}
	}
	r.opts.Stage(fmt.Sprintf("%d workers and %d producers under faults for %s, seed %d", r.opts.Workers, producers, r.opts.Duration, r.opts.Seed))
	raging, calm := context.WithTimeout(ctx, r.opts.Duration)
	defer calm()
	var operating sync.WaitGroup
	operating.Go(func() { runOperator(raging, a) })
	r.report.Strikes = runNemeses(raging, a, chosen)
	operating.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if r.opts.platform.end != nil {
		if err := r.opts.platform.end(ctx, a); err != nil {
			return err
		}
	}
	r.healed = time.Now()
	r.opts.Stage("all faults have ended: waiting until every job is done")
	for _, text := range a.fleet.stop("producer", 2*patience) {
		r.complain("P13", "needs a restart", text)
	}
	if err := r.waitForWorkers(ctx); err != nil {
		return fmt.Errorf("wait for the workers: %w", err)
	}
	if err := r.drain(ctx); err != nil {
		return fmt.Errorf("wait for the last job: %w", err)
	}
	a.fleet.each("worker", func(p *process) { r.liveWorkers = append(r.liveWorkers, p.number) })
	for _, role := range []string{"worker", "server"} {
		for _, text := range a.fleet.stop(role, patience) {
			r.complain("P13", "needs a restart", text)
		}
	}
	for _, text := range a.fleet.exits() {
		r.complain("P13", "needs a restart", text)
	}
	return nil
}

func (r *run) complain(promise, kind, text string) {
	r.complaints = append(r.complaints, Violation{Promise: promise, Kind: kind, Text: text})
}

// waitForWorkers enqueues jobs until every living worker process has claimed since the
// last fault, or the time allowed is over. The judge then reports who did not.
func (r *run) waitForWorkers(ctx context.Context) error {
	a := r.arena
	for late := time.Now().Add(patience); time.Now().Before(late); {
		answer, err := a.enqueuePlain(ctx, a.client, busyQueue, 50)
		if err != nil {
			answer(Unknown)
			return err
		}
		answer(OK)
		rows, err := a.pool.Query(ctx, `SELECT DISTINCT i.pid FROM proof.trail t JOIN proof.incarnations i USING (worker_id)
			WHERE t.what = 'leased' AND t.at > $1`, r.healed)
		if err != nil {
			return err
		}
		pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			return err
		}
		processes, awake := a.fleet.processOf(), map[int]bool{}
		for _, pid := range pids {
			awake[processes[pid]] = true
		}
		all := true
		a.fleet.each("worker", func(p *process) { all = all && awake[p.number] })
		if all {
			return nil
		}
		if !sleep(ctx, pollInterval) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// drain waits until no job waits or runs. It gives up when nothing changes for long.
func (r *run) drain(ctx context.Context) error {
	a := r.arena
	still, last := time.Now(), int64(-1)
	for time.Since(still) < 3*r.opts.Lease+20*time.Second {
		left, err := queryOne[int](ctx, a, "SELECT (SELECT count(*) FROM penstock.pending) + (SELECT count(*) FROM penstock.running)")
		if err != nil {
			return err
		}
		if left == 0 {
			r.drained = true
			return nil
		}
		moved, err := queryOne[int64](ctx, a, "SELECT coalesce(max(seq), 0) FROM proof.trail")
		if err != nil {
			return err
		}
		if moved != last {
			still, last = time.Now(), moved
		}
		if !sleep(ctx, pollInterval) {
			return context.Cause(ctx)
		}
	}
	r.drained = true // the time is over: the judge reports what is left as stuck
	return nil
}

// runOperator redrives and purges dead jobs during the run, as an operator does.
func runOperator(ctx context.Context, a *testbed) {
	for sleep(ctx, time.Second) {
		page, err := a.client.DLQ.List(ctx, penstock.DeadQuery{Queue: busyQueue, Limit: 100})
		if err != nil {
			continue // the server may be down
		}
		for i, dead := range page.Items {
			if i%2 == 0 && dead.Generation == 0 {
				_, _ = a.client.DLQ.RedriveJob(ctx, busyQueue, dead.ID, nil) // the audit records the result
			}
		}
		_, _ = a.client.DLQ.Purge(ctx, busyQueue, 5*time.Second, penstock.DeadFilter{}, nil)
	}
}

// judge reads the histories and the audit, and decides.
func (r *run) judge(ctx context.Context) error {
	r.opts.Stage("judging")
	j := newJudge(limitsFor(r.opts.Lease))
	if r.opts.Failpoint > 0 {
		j.limits.Rescue *= 2 // a sweeper waits longer after a failed poll
	}
	j.twoClocks = r.opts.platform.twoClocks
	for _, name := range r.report.Nemeses {
		j.rules[name] = true
	}
	if err := readHistories(filepath.Join(r.dir, "history"), j.addEvent); err != nil {
		return err
	}
	lives, err := readIncarnations(ctx, r.arena.pool, r.arena.fleet.processOf())
	if err != nil {
		return err
	}
	j.addContext(r.arena.faultLog(), lives, r.arena.fleet.sweeperSpans())
	j.drained, j.healed, j.liveWorkers = r.drained, r.healed, r.liveWorkers
	if err := readTrail(ctx, r.arena.pool, j.addJob); err != nil {
		return err
	}
	for _, v := range r.complaints {
		j.report(v)
	}
	r.report.Verdict = *j.finish()
	r.report.count(r.arena)
	if r.report.Broken() > 0 && r.opts.Keep == "" {
		r.kept = true
		r.report.Histories = filepath.Join(r.dir, "history")
	}
	return errors.Join(ctx.Err())
}
