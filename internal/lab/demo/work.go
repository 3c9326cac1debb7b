package demo

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock"
)

const (
	queue      = "index-go-source"
	indexFile  = "index-file"
	sumPackage = "sum-package"
)

// fileArgs and packageArgs are the data of the jobs.
type fileArgs struct {
	Path string `json:"path"`
}

type packageArgs struct {
	Dir string `json:"dir"`
}

// retryWhileIncomplete makes a package wait for its files. Most need one second. A file
// whose worker was killed goes to the end of its lane and may take minutes.
var retryWhileIncomplete = penstock.RetryStrategy{
	Type: penstock.Linear, Delay: 500 * time.Millisecond, MaxDelay: 10 * time.Second, MaxAttempts: 60,
}

// jobsFor returns a job per file, and one per package that sums it up. A package's sum
// is placed after the next package's files, when its own files are mostly parsed. If
// one takes longer, the sum fails and is retried.
func jobsFor(folders []folder) []penstock.NewJob {
	var jobs []penstock.NewJob
	sum := func(folder folder) {
		jobs = append(jobs, penstock.NewJob{
			Queue: queue, Name: sumPackage, Data: packageArgs{folder.dir}, Priority: priorityOf(folder.dir), Retry: &retryWhileIncomplete,
		})
	}
	for i, folder := range folders {
		for _, file := range folder.files {
			jobs = append(jobs, penstock.NewJob{
				Queue: queue, Name: indexFile, Data: fileArgs{file.path}, Priority: priorityOf(folder.dir),
			})
		}
		if i > 0 {
			sum(folders[i-1])
		}
	}
	sum(folders[len(folders)-1])
	return jobs
}

// priorityOf ranks a package: test data low, because its many files are not urgent; the
// compiler high, so that the effect is visible; all others as the queue decides. A
// package's sum has the priority of its files, or it would be claimed long before or
// long after them.
func priorityOf(dir string) penstock.Priority {
	switch within := "/" + dir + "/"; {
	case strings.Contains(within, "/testdata/"):
		return penstock.Low
	case strings.Contains(within, "/cmd/compile/"):
		return penstock.High
	}
	return ""
}

// worker handles both kinds of job.
func (d *demo) worker(p *progress) (*penstock.Worker, error) {
	w, err := penstock.NewWorker(d.client, penstock.WorkerConfig{
		Queues:     map[string]penstock.QueueConfig{queue: {Concurrency: d.concurrency()}},
		Middleware: []penstock.Middleware{p.count},
	})
	if err != nil {
		return nil, err
	}
	penstock.Handle(w, queue, indexFile, d.indexFile)
	penstock.Handle(w, queue, sumPackage, d.sumPackage)
	return w, nil
}

// concurrency is higher than the number of processors, because jobs wait for Postgres
// half of the time. It leaves a connection of the pool for the progress and one for the
// server.
func (d *demo) concurrency() int {
	return max(1, min(4*runtime.GOMAXPROCS(0), int(d.pool.Config().MaxConns)-2))
}

func (d *demo) indexFile(ctx context.Context, job *penstock.Job[fileArgs]) error {
	found, err := parseFile(os.DirFS(d.root), job.Data.Path)
	var fault *fileError
	if errors.As(err, &fault) {
		// The broken file is recorded first, in a transaction of its own: its package
		// must not wait for it. If this process dies before the failure is recorded,
		// the job runs again and records the same.
		listed, err := recordFile(ctx, d.pool, job.Data.Path, found, &fault.message)
		if err != nil || !listed {
			return err // nil if another run has replaced the tree
		}
		return penstock.Dead(fault)
	}
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if _, err := recordFile(ctx, tx, job.Data.Path, found, nil); err != nil {
			return err
		}
		return job.CompleteTx(ctx, tx)
	})
}

func (d *demo) sumPackage(ctx context.Context, job *penstock.Job[packageArgs]) error {
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if err := recordPackage(ctx, tx, job.Data.Dir); err != nil {
			return err
		}
		return job.CompleteTx(ctx, tx)
	})
}
