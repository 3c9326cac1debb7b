// Package demo is what `penstock serve --demo` runs: an application that indexes a tree
// of Go sources, by default the one Go itself is built from, with a job per file and a
// job per package. It shows on real input what a queue is for, and owns the schema
// penstock_demo; nothing else reads it.
//
//   - One transaction writes the application's rows and enqueues their jobs (P2).
//   - What a job found and its completion commit together (P6), so killing the demo at
//     any moment leaves no file counted twice and none forgotten: the next run finishes
//     what was left.
//   - A package is summed up once its files are parsed. Until then its job fails, and
//     is retried by a strategy it brought along.
//   - Files that do not parse, of which Go's own tests have over a hundred, are dead at
//     once: no retry mends them.
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
)

// Options say what to index and what to tell. The zero value works.
type Options struct {
	Source string     // the tree; empty: GOROOT, as the go command says, else as this binary was built
	Width  func() int // cells of the terminal that out is, asked at every redraw; 0: it does not tell; nil: out is none

	// What the commands to type next are spelled with.
	Command     string // this program; empty: penstock
	Setup       string // a shell line that must come first, such as an export; empty: none
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

// Run indexes the tree and shows how it goes on out: a line of progress, redrawn on a
// terminal and printed now and then elsewhere, and when every job has ended the
// largest packages, the dead letter queue, and what to type next. It works only the
// queue index-go-source, and can be repeated: each run indexes anew, finishes what an
// earlier one left, and lets that one's dead jobs lie.
//
// When ctx ends, Run lets the running jobs finish, says how many are left, and returns
// nil. Errors: there is no tree (naming --demo-source), the tables cannot be made, or
// Postgres failed outside the jobs.
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
		plural(int64(len(jobs)-len(folders)), "file"), plural(int64(len(folders)), "package"))
	if err := ensureTables(ctx, d.pool); err != nil {
		return err
	}
	before, err := queueCounts(ctx, d.client)
	if err != nil {
		return err
	}
	if n := unfinished(before); n > 0 {
		fmt.Fprintf(d.out, "An earlier run was cut short: its %s are finished too.\n", plural(n, "job"))
		if before.Running > 0 {
			fmt.Fprintf(d.out, "Its worker held %s, which may take 20 s to come back.\n", number(before.Running))
		}
	}
	began := time.Now()
	if err := d.enqueue(ctx, folders, jobs); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "One transaction listed them and enqueued %s in %d ms.\n",
		plural(int64(len(jobs)), "job"), time.Since(began).Milliseconds())

	p := &progress{client: d.client, out: d.out, width: d.opts.Width, before: before}
	began = time.Now()
	if err := d.work(ctx, p); err != nil || ctx.Err() != nil {
		return err
	}
	return d.report(ctx, p, time.Since(began))
}

// enqueue writes the application's rows and their jobs in one transaction: there is no
// moment at which a file is listed and nobody will parse it, or the other way round.
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

// work runs jobs until the queue holds none, and shows how it goes. It waits for jobs
// that run elsewhere too: those of a run that was killed come back when its worker is
// found dead, which takes some 15 seconds.
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

// interrupted says what an interrupt left behind, if Postgres is still there to ask.
func (d *demo) interrupted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if counts, err := queueCounts(ctx, d.client); err == nil && unfinished(counts) > 0 {
		fmt.Fprintf(d.out, "Interrupted. %s wait in Postgres for the next run.\n", plural(unfinished(counts), "job"))
	}
	return nil
}
