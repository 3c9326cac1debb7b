// Package penstock is a transactional job queue in the PostgreSQL that you already run.
// A job that is enqueued in a transaction exists if and only if that transaction commits.
// It then runs at least once, is retried by a policy, and moves to the dead letter queue
// if all retries fail. A committed job is never lost.
//
// # First use
//
// Prepare the database with "penstock migrate up". Then make a client and a worker:
//
//	client, err := penstock.NewClient(pool, penstock.Config{})
//	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{
//		Queues: map[string]penstock.QueueConfig{"mail": {Concurrency: 20}},
//	})
//	penstock.Handle(worker, "mail", "welcome", func(ctx context.Context, job *penstock.Job[Welcome]) error {
//		return send(ctx, job.Data)
//	})
//	go worker.Run(ctx) // until ctx ends; then it finishes what runs
//
// Enqueue a job together with your own writes:
//
//	tx, err := pool.Begin(ctx)
//	// … your own writes …
//	id, err := client.InTx(tx).Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome", Data: Welcome{…}})
//	err = tx.Commit(ctx)
//
// A handler returns nil, an error, [Dead], [Snooze] or [RetryIn]. Package penstocktest
// tests handlers, with a database or without; package penstockotel traces them.
//
// # Client and its groups
//
// [Client] itself has what an application needs: Enqueue, Job, Wait, Cancel and their
// relatives. What operators need is in groups, one for each subject:
//
//	client.Queues      counts, settings, pausing      client.Workers  registered workers
//	client.DLQ         dead jobs, redrive, purge      client.Metrics  counts and times over a span
//	client.Policies    retry policies                 client.Health   issues, reports, thresholds
//	client.Priorities  rules, levels, tags            client.Tasks    scheduled maintenance
//	client.Breakers    circuit breakers               client.Tokens   tokens of the HTTP API
//	                                                  client.Audit    who changed what
//
// After InTx, a client and its groups work in the caller's transaction. After As, the
// audit log names the actor for what they change. Lists that page take a query with
// Limit and Cursor and return a [Page].
//
// # Promises
//
//	P1   A job whose enqueue committed waits, runs, is dead, or has finished.
//	P2   An enqueue in a transaction exists if and only if that commits.
//	P3   Every job runs at least once, also when any reply is lost.
//	P4   A job has one live lease.
//	P5   A write with a stale (job, attempt) changes nothing and returns ErrLeaseLost.
//	P6   Effects are exactly once when the handler's writes and the completion
//	     share a transaction (Job.CompleteTx).
//	P7   The same idempotency key gives the same job: for 24 hours, or until the
//	     job finishes if that is later.
//	P8   Repeating a completion whose reply was lost is not an error.
//	P9   A dead worker's jobs run again within 20 s while Postgres is up.
//	P10  Within a queue jobs are claimed by priority, then run_at, then id.
//	P11  A dead job leaves the dead letter queue only by redrive or purge, and both
//	     are recorded.
//	P12  No worker's clock affects safety.
//	P13  A crash of worker, server or Postgres at any point breaks none of these.
//
// When a handler loses its lease, its context ends with cause ErrLeaseLost. It may still
// overlap for a moment with the next attempt: make its effects repeatable, or commit them
// with CompleteTx.
//
// # How data flows
//
// Enqueue calls penstock.enqueue_many in the caller's transaction. A worker has one
// fetcher per queue that claims batches (worker_fetch.go), one goroutine per running job
// (worker_execute.go), a flusher that writes results in group commits (worker_flush.go),
// one connection for heartbeats (worker_lease.go) and one for notifications
// (internal/listen). It also maintains the database (internal/maintain). Functions in the
// database (migrations/functions/) decide about retries and priorities, so the decision is
// the same in every language.
package penstock
