// River enqueues jobs in bulk, works them off, and enqueues a tenth of them in single-
// job transactions, with github.com/riverqueue/river, for the bench's compare command.
// It is a module of its own, so that Penstock does not depend on River.
//
// Usage: river URL JOBS PAYLOAD_BYTES. The database is empty. The result is one line of
// JSON on standard output.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type noop struct {
	N   int    `json:"n"`
	Pad string `json:"pad"`
}

func (noop) Kind() string { return "noop" }

type worker struct {
	river.WorkerDefaults[noop]
	worked atomic.Int64
}

func (w *worker) Work(context.Context, *river.Job[noop]) error {
	w.worked.Add(1)
	return nil
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("want URL JOBS PAYLOAD_BYTES")
	}
	jobs, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(args[0])
	if err != nil {
		return err
	}
	config.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	w := &worker{}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	// The fastest settings on the test machine: many handlers, no pause between
	// fetches.
	client, err := river.NewClient(driver, &river.Config{
		Workers: workers, Logger: slog.New(slog.DiscardHandler),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
		FetchCooldown:     time.Millisecond,
		FetchPollInterval: time.Millisecond,
	})
	if err != nil {
		return err
	}
	enqueued, err := enqueue(ctx, client, jobs, size)
	if err != nil {
		return err
	}
	drained, err := drain(ctx, client, pool, w, jobs)
	if err != nil {
		return err
	}
	singly, err := enqueueSingly(ctx, client, pool, jobs/10, size)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"peer": "River " + version(), "enqueued_per_second": float64(jobs) / enqueued.Seconds(),
		"drained_per_second": float64(jobs) / drained.Seconds(), "transactions_per_second": float64(jobs/10) / singly.Seconds(),
	})
}

// enqueue inserts 1,000 jobs per call, by COPY.
func enqueue(ctx context.Context, client *river.Client[pgx.Tx], jobs, size int) (time.Duration, error) {
	start := time.Now()
	for n := 0; n < jobs; n += 1000 {
		batch := make([]river.InsertManyParams, min(1000, jobs-n))
		for i := range batch {
			batch[i].Args = job(n+i, size)
		}
		if _, err := client.InsertManyFast(ctx, batch); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

func job(n, size int) noop {
	text := len(fmt.Sprintf(`{"n":%d,"pad":""}`, n))
	return noop{n, strings.Repeat("x", max(0, size-text))}
}

// enqueueSingly commits single-job transactions from 16 goroutines.
func enqueueSingly(ctx context.Context, client *river.Client[pgx.Tx], pool *pgxpool.Pool, jobs, size int) (time.Duration, error) {
	var taken atomic.Int64
	failed := make(chan error, 16)
	start := time.Now()
	for range cap(failed) {
		go func() {
			for n := int(taken.Add(1)); n <= jobs; n = int(taken.Add(1)) {
				if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					_, err := client.InsertTx(ctx, tx, job(n, size), nil)
					return err
				}); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// drain works off the jobs; the clock stops when every row is completed.
func drain(ctx context.Context, client *river.Client[pgx.Tx], pool *pgxpool.Pool, w *worker, jobs int) (time.Duration, error) {
	start := time.Now()
	if err := client.Start(ctx); err != nil {
		return 0, err
	}
	for w.worked.Load() < int64(jobs) {
		time.Sleep(time.Millisecond)
	}
	for left := true; left; {
		if err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM river_job WHERE state IN ('available', 'running'))`).Scan(&left); err != nil {
			return 0, err
		}
	}
	took := time.Since(start)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return took, client.Stop(ctx)
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/riverqueue/river" {
			return m.Version
		}
	}
	return ""
}
