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
	producers   = 2
	patience    = 45 * time.Second // for what must go on once nothing is broken any more
	recallEvery = 200 * time.Millisecond
)

// Run makes one run and judges it. Errors: ErrOptions; ErrBroken, beside a report that says what;
// what kept the run from being made or judged, without one.
func Run(ctx context.Context, opts Options) (_ *Report, err error) {
	if err := opts.fill(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	chosen, err := choose(append(paces(opts.Lease), opts.place.nemeses...), opts.Nemeses)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	r := &run{opts: &opts, report: newReport(&opts, chosen)}
	if err := r.prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare the proof: %w", err)
	}
	defer r.clean()
	if err := r.act(ctx, chosen); err != nil {
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
	arena  *arena
	dir    string
	kept   bool // dir is the caller's, or holds evidence
	report *Report

	healed  time.Time
	drained bool
	living  []int // workers at the end
	plaints []Violation
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
	if r.arena, err = openArena(ctx, r.opts, r.dir); err != nil {
		return err
	}
	r.report.Postgres = r.arena.server.Version()
	return sabotage(ctx, r.arena, r.opts.Mutants)
}

func (r *run) clean() {
	r.arena.close()
	if !r.kept {
		_ = os.RemoveAll(r.dir)
	}
}

// act is the run itself: processes, faults, and then calm until everything is done.
func (r *run) act(ctx context.Context, chosen []pace) error {
	a := r.arena
	a.fleet.rate = float64(r.opts.Jobs) / r.opts.Duration.Seconds() / producers
	a.fleet.most = int64(r.opts.Jobs) // a killed producer's successor makes up for it
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
	operating.Go(func() { operate(raging, a) })
	r.report.Strikes = rage(raging, a, chosen)
	operating.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if r.opts.place.end != nil {
		if err := r.opts.place.end(ctx, a); err != nil {
			return err
		}
	}
	r.healed = time.Now()
	r.opts.Stage("all is mended: until everything is done")
	for _, text := range a.fleet.stop("producer", 2*patience) {
		r.complain("P13", "needs a restart", text)
	}
	if err := r.recall(ctx); err != nil {
		return fmt.Errorf("call the workers: %w", err)
	}
	if err := r.drain(ctx); err != nil {
		return fmt.Errorf("wait for the last job: %w", err)
	}
	a.fleet.each("worker", func(p *process) { r.living = append(r.living, p.number) })
	for _, role := range []string{"worker", "server"} {
		for _, text := range a.fleet.stop(role, patience) {
			r.complain("P13", "needs a restart", text)
		}
	}
	for _, text := range a.fleet.died() {
		r.complain("P13", "needs a restart", text)
	}
	return nil
}

func (r *run) complain(promise, kind, text string) {
	r.plaints = append(r.plaints, Violation{Promise: promise, Kind: kind, Text: text})
}

// recall enqueues until every worker that lives has worked since all was mended, or
// patience ends: then the judge says who did not.
func (r *run) recall(ctx context.Context) error {
	a := r.arena
	for late := time.Now().Add(patience); time.Now().Before(late); {
		answer, err := a.plain(ctx, a.client, busyQueue, 50)
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
		if !rest(ctx, recallEvery) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// drain waits until nothing waits and nothing runs, for as long as anything moves.
func (r *run) drain(ctx context.Context) error {
	a := r.arena
	still, last := time.Now(), int64(-1)
	for time.Since(still) < 3*r.opts.Lease+20*time.Second {
		left, err := ask[int](ctx, a, "SELECT (SELECT count(*) FROM penstock.pending) + (SELECT count(*) FROM penstock.running)")
		if err != nil {
			return err
		}
		if left == 0 {
			r.drained = true
			return nil
		}
		moved, err := ask[int64](ctx, a, "SELECT coalesce(max(seq), 0) FROM proof.trail")
		if err != nil {
			return err
		}
		if moved != last {
			still, last = time.Now(), moved
		}
		if !rest(ctx, recallEvery) {
			return context.Cause(ctx)
		}
	}
	r.drained = true // it had its time: what is left is stuck
	return nil
}

// operate is what an operator does meanwhile: it redrives what died, or purges it.
func operate(ctx context.Context, a *arena) {
	for rest(ctx, time.Second) {
		page, err := a.client.DeadJobs(ctx, penstock.DeadQuery{Queue: busyQueue, Limit: 100})
		if err != nil {
			continue // the server is down just now
		}
		for i, dead := range page.Items {
			if i%2 == 0 && dead.Generation == 0 {
				_, _ = a.client.RedriveJob(ctx, busyQueue, dead.ID, nil) // the audit tells what came of it
			}
		}
		_, _ = a.client.PurgeDead(ctx, busyQueue, 5*time.Second, penstock.DeadFilter{}, nil)
	}
}

// judge reads everything and decides.
func (r *run) judge(ctx context.Context) error {
	r.opts.Stage("judging")
	j := newJudge(limitsFor(r.opts.Lease))
	if r.opts.Failpoint > 0 {
		j.limits.Rescue *= 2 // a poll that fails has its sweeper wait longer
	}
	j.twoClocks = r.opts.place.twoClocks
	if err := readHistories(filepath.Join(r.dir, "history"), j.hear); err != nil {
		return err
	}
	lives, err := readIncarnations(ctx, r.arena.pool, r.arena.fleet.processOf())
	if err != nil {
		return err
	}
	j.know(r.arena.log(), lives, r.arena.fleet.sweepers())
	j.drained, j.healed, j.living = r.drained, r.healed, r.living
	if err := readTrail(ctx, r.arena.pool, j.see); err != nil {
		return err
	}
	for _, v := range r.plaints {
		j.broken(v)
	}
	r.report.Verdict = *j.conclude()
	r.report.count(r.arena)
	if r.report.Broken() > 0 && r.opts.Keep == "" {
		r.kept = true
		r.report.Histories = filepath.Join(r.dir, "history")
	}
	return errors.Join(ctx.Err())
}
