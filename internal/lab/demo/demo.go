// Package demo is what `penstock-lab demo` runs: an application that indexes a tree
// of Go sources, by default that of the Go installation, with one job per file and one
// job per package. It shows on real input what a queue is for. It owns the schema
// penstock_demo.
//
//   - One transaction writes the application's rows and enqueues their jobs (P2).
//   - A job's result and its completion commit together (P6). So a kill at any
//     moment neither counts a file twice nor forgets one: the next run finishes
//     the remaining jobs.
//   - A package is summed up when its files are parsed. Until then its job fails and
//     is retried with its own retry strategy.
//   - A file that does not parse is dead at once, because a retry cannot help. Go's
//     own tests have over a hundred such files.
package demo

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/terminal"
)

// Options say what to index and what to print. The zero value works.
type Options struct {
	Source string     // the tree; empty: GOROOT, as the go command says, else as this binary was built
	Width  func() int // width of the terminal in cells, read at every redraw; 0: unknown; nil: out is no terminal

	// How to spell the commands that the report suggests.
	Command     string // the command line; empty: penstock
	Setup       string // a shell line to run first, such as an export; empty: none
	BaseURL     string // where it serves HTTP, http://127.0.0.1:8080; empty: no curl
	DatabaseURL string // for psql; empty: no psql
}

// demo is one run.
type demo struct {
	pool   *pgxpool.Pool
	client *penstock.Client
	opts   Options
	out    io.Writer
	root   string
}

// Run indexes the tree and shows its progress on out: a line that is redrawn on a
// terminal and printed periodically elsewhere. When every job has ended it prints the
// largest packages, the dead letter queue, and suggested commands. It works only the
// queue index-go-source. It can be repeated: each run indexes the tree again, finishes
// the remaining jobs of earlier runs, and leaves their dead jobs alone.
//
// When ctx ends, Run lets the running jobs finish, prints how many are left, and
// returns nil. Errors: there is no tree (names --source), the tables cannot be
// created, or Postgres failed outside the jobs.
func Run(ctx context.Context, pool *pgxpool.Pool, client *penstock.Client, opts Options, out io.Writer) error {
	if opts.Command == "" {
		opts.Command = "penstock"
	}
	d := &demo{pool: pool, client: client, opts: opts, out: out}
	err := d.run(ctx)
	if ctx.Err() != nil {
		return d.interrupted(ctx)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

func (d *demo) run(ctx context.Context) error {
	var err error
	if d.root, err = findSource(ctx, d.opts.Source); err != nil {
		return err
	}
	folders, err := scan(d.root)
	if err != nil {
		return err
	}
	jobs := jobsFor(folders)
	fmt.Fprintf(d.out, "Indexing %s: %s in %s.\n", d.root,
		terminal.Plural(int64(len(jobs)-len(folders)), "file"), terminal.Plural(int64(len(folders)), "package"))
	if err := ensureTables(ctx, d.pool); err != nil {
		return err
	}
	before, err := queueCounts(ctx, d.client)
	if err != nil {
		return err
	}
	if n := unfinished(before); n > 0 {
		fmt.Fprintf(d.out, "An earlier run was interrupted: its %s are finished too.\n", terminal.Plural(n, "job"))
		if before.Running > 0 {
			fmt.Fprintf(d.out, "Its worker held %s, which may take 20 s to come back.\n", terminal.Thousands(before.Running))
		}
	}
	began := time.Now()
	if err := d.enqueue(ctx, folders, jobs); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "One transaction listed them and enqueued %s in %s.\n",
		terminal.Plural(int64(len(jobs)), "job"), terminal.Duration(time.Since(began)))

	p := &progress{client: d.client, out: d.out, width: d.opts.Width, before: before}
	began = time.Now()
	if err := d.work(ctx, p); err != nil || ctx.Err() != nil {
		return err
	}
	return d.report(ctx, p, time.Since(began))
}

// enqueue writes the application's rows and their jobs in one transaction: a listed
// file always has a job, and a job always has a listed file.
func (d *demo) enqueue(ctx context.Context, folders []folder, jobs []penstock.NewJob) error {
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if err := replaceTree(ctx, tx, folders); err != nil {
			return err
		}
		_, err := d.client.InTx(tx).EnqueueMany(ctx, jobs)
		return err
	})
	if err != nil {
		return fmt.Errorf("list and enqueue the tree: %w", err)
	}
	return nil
}

// work runs jobs until the queue is empty, and shows the progress. It also waits for
// jobs that run elsewhere: the jobs of a killed run come back about 15 seconds after
// its death.
func (d *demo) work(ctx context.Context, p *progress) error {
	w, err := d.worker(p)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var watching sync.WaitGroup
	watching.Go(func() {
		p.watch(working)
		stop()
	})
	err = w.Run(working)
	stop()
	watching.Wait()
	return err
}

// interrupted prints how many jobs are left after an interrupt, if Postgres answers.
func (d *demo) interrupted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if counts, err := queueCounts(ctx, d.client); err == nil && unfinished(counts) > 0 {
		fmt.Fprintf(d.out, "Interrupted. %s wait in Postgres for the next run.\n", terminal.Plural(unfinished(counts), "job"))
	}
	return nil
}
