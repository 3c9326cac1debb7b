// Package penstock is a transactional job queue in the PostgreSQL you already
// run: a job enqueued inside your transaction exists if and only if that
// commits, and once it exists it runs, is retried by policy, or lies in a dead
// letter queue where it can be seen and redriven. Never nowhere.
//
// # First use
//
// A database prepared by "penstock migrate up", a pool, a client, a worker:
//
//	client, err := penstock.NewClient(pool, penstock.Config{})
//	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{
//		Queues: map[string]penstock.QueueConfig{"mail": {Concurrency: 20}},
//	})
//	penstock.Handle(worker, "mail", "welcome", func(ctx context.Context, job *penstock.Job[Welcome]) error {
//		return send(ctx, job.Data)
//	})
//	go worker.Run(ctx) // until ctx ends, then it drains
//
//	tx, err := pool.Begin(ctx)
//	// … your own writes …
//	id, err := client.InTx(tx).Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome", Data: Welcome{…}})
//	err = tx.Commit(ctx)
//
// # What it promises
//
//	P1   A job whose enqueue committed waits, runs, is dead, or has finished.
//	P2   An enqueue in a transaction exists if and only if that commits.
//	P3   Every job runs at least once, also when any reply is lost.
//	P4   A job has one live lease.
//	P5   A write with a stale (job, attempt) changes nothing and says ErrLeaseLost.
//	P6   Effects are exactly once when the handler's writes and the completion
//	     share a transaction (Job.CompleteTx).
//	P7   The same idempotency key gives the same job: for 24 hours, or until the
//	     job finishes if that is later.
//	P8   Repeating a completion whose reply was lost is not an error.
//	P9   A dead worker's jobs run again within 20 s, Postgres being up.
//	P10  Within a queue jobs are claimed by priority, then run_at, then id.
//	P11  A dead job leaves the dead letter queue only by redrive or purge, and both
//	     are recorded.
//	P12  No worker's clock affects safety.
//	P13  A crash of worker, server or Postgres at any point breaks none of these.
//
// A handler that lost its lease is told so through its context, but it may
// overlap for a moment with the attempt that follows: make its effects
// repeatable, or commit them with CompleteTx.
//
// # How data flows
//
// Enqueue calls penstock.enqueue_many in the caller's transaction. A Worker has
// a fetcher per queue that claims batches (fetch.go), a goroutine per running
// job (execute.go), a flusher that writes ends in group commits (flush.go), one
// connection that beats (lease.go) and one that listens (listen.go); it also
// maintains the database (internal/maintain). A Remote does for workers behind HTTP
// what a Worker does for its handlers (remote.go). Decisions about retries and
// priorities are taken by functions in the database (migrations/), so every
// language sees the same ones.
package penstock
