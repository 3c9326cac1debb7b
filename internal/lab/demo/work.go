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

// fileArgs and packageArgs are the jobs' data.
type fileArgs struct {
	Path string `json:"path"`
}

type packageArgs struct {
	Dir string `json:"dir"`
}

// patience is how a package waits for its files. Most need one second; a file that
// went back to the end of its lane because its worker was killed may take minutes.
var retryWhileIncomplete = penstock.RetryStrategy{
	Type: penstock.Linear, Delay: 500 * time.Millisecond, MaxDelay: 10 * time.Second, MaxAttempts: 60,
}

// jobsFor returns a job per file and one per package that sums it up. A sum stands
// behind the next package's files, when its own are mostly done. Mostly: jobs of one
// batch run at once, and where some file takes longer the sum fails and is retried.
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

// priorityOf ranks a package: input of tests low, whose files are many, odd and in
// nobody's way; the compiler high, so that there is something to see in the order of
// things; everything else as the queue decides. A package's sum ranks with its files,
// or it would be claimed long before them, or long after.
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

// concurrency is more than there are processors, because half of a job is waiting for
// Postgres, and leaves the pool a connection for the progress and one for the server.
func (d *demo) concurrency() int {
	return max(1, min(4*runtime.GOMAXPROCS(0), int(d.pool.Config().MaxConns)-2))
}

func (d *demo) indexFile(ctx context.Context, job *penstock.Job[fileArgs]) error {
	found, err := parseFile(os.DirFS(d.root), job.Data.Path)
	var fault *fileError
	if errors.As(err, &fault) {
		// The file is dealt with, if not parsed, and its package must not wait for it.
		// That is noted in a transaction of its own, before the failure is: should
		// this process die in between, the job runs again and notes the same.
		listed, err := recordFile(ctx, d.pool, job.Data.Path, found, &fault.message)
		if err != nil || !listed {
			return err // nil when the job is of a tree that another run replaced
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
