package penstock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/penstock/penstock"
)

func ExampleClient_Enqueue() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	id, err := client.Enqueue(ctx, penstock.NewJob{
		Queue: "mail", Name: "welcome", Data: Welcome{"ann@example.org"},
		Priority: penstock.High, Delay: time.Hour, MaxAttempts: 5, Tags: []string{"signup"},
	})
	check(err)
	job := must(client.Job(ctx, id))
	fmt.Println(job.State, job.Priority, job.MaxAttempts, job.Tags)
	// Output: scheduled 10 5 [signup]
}

// The same key gives the same job, so a request may be repeated.
func ExampleClient_Enqueue_idempotencyKey() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	invoice := penstock.NewJob{Queue: "billing", Name: "invoice", IdempotencyKey: "invoice 2026-11 ann"}
	first := must(client.Enqueue(ctx, invoice))
	second := must(client.Enqueue(ctx, invoice))
	fmt.Println(first == second)
	// Output: true
}

// Without an error, all jobs exist.
func ExampleClient_EnqueueMany() {
	client, done := connect()
	defer done()
	_, err := client.EnqueueMany(context.Background(), []penstock.NewJob{
		{Queue: "mail", Name: "welcome"},
		{Queue: "mail", Name: "no spaces, please"},
	})
	refused, ok := errors.AsType[*penstock.ArgumentError](err)
	fmt.Println(ok, refused.Argument, "of job", refused.Job)
	// Output: true name of job 2
}

// The job exists if and only if the transaction commits.
func ExampleClient_InTx() {
	pool, done := open()
	defer done()
	ctx := context.Background()
	client := must(penstock.NewClient(pool, penstock.Config{}))

	tx := must(pool.Begin(ctx))
	// … the application's own writes in tx …
	id := must(client.InTx(tx).Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	check(tx.Rollback(ctx))

	_, err := client.Job(ctx, id)
	fmt.Println(errors.Is(err, penstock.ErrJobNotFound))
	// Output: true
}

// Any driver of database/sql will do.
func ExampleClient_InSQLTx() {
	pool, done := open()
	defer done()
	ctx := context.Background()
	client := must(penstock.NewClient(pool, penstock.Config{}))
	database := stdlib.OpenDBFromPool(pool)
	defer database.Close()

	tx := must(database.BeginTx(ctx, nil))
	id := must(client.InSQLTx(tx).Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	check(tx.Commit())

	fmt.Println(must(client.Job(ctx, id)).State)
	// Output: waiting
}

// Wait returns the job with its result.
func ExampleClient_Wait() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	worker := serve(client, "math")
	penstock.Handle(worker, "math", "square", func(ctx context.Context, job *penstock.Job[int]) error {
		return penstock.Result(ctx, job.Data*job.Data)
	})
	id := must(client.Enqueue(ctx, penstock.NewJob{Queue: "math", Name: "square", Data: 12}))
	must(worker.RunDue(ctx, 0))

	job := must(client.Wait(ctx, id))
	fmt.Println(job.State, string(job.Attempts[0].Result))
	// Output: completed 144
}

func ExampleClient_Cancel() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	id := must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "digest", Delay: time.Hour}))
	fmt.Println(must(client.Cancel(ctx, id)))
	fmt.Println(must(client.Cancel(ctx, id)))
	// Output:
	// cancelled
	// finished
}

// Lists come in pages: Next of one page is the Cursor of the next.
func ExampleClient_Jobs() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	for range 5 {
		must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	}
	query := penstock.JobQuery{Filter: penstock.JobFilter{Queue: "mail", State: penstock.Waiting}, Limit: 2}
	for {
		page := must(client.Jobs(ctx, query))
		fmt.Print(len(page.Items), " ")
		if page.Next == "" {
			break
		}
		query.Cursor = page.Next
	}
	// Output: 2 2 1
}

// Why does this job not run?
func ExampleClient_Explain() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	id := must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	check(client.Queues.Pause(ctx, "mail"))
	for _, reason := range must(client.Explain(ctx, id)).Reasons {
		if reason.Blocks {
			fmt.Println(reason.Code)
		}
	}
	// Output: paused
}

// One change for every job that a filter finds.
func ExampleClient_ChangeJobs() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	must(client.EnqueueMany(ctx, []penstock.NewJob{
		{Queue: "mail", Name: "welcome", Delay: time.Hour},
		{Queue: "mail", Name: "digest", Delay: time.Hour},
	}))
	filter := penstock.JobFilter{Queue: "mail", Name: "digest", State: penstock.Scheduled}
	fmt.Println(must(client.ChangeJobs(ctx, penstock.ActionRunNow, filter, "", nil)), "job runs now")
	// Output: 1 job runs now
}

// The audit log names the actor for what the client and its groups change.
func ExampleClient_As() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	check(client.As("ann").Queues.Pause(ctx, "mail"))
	page := must(client.Audit.List(ctx, penstock.AuditQuery{Queue: "mail"}))
	fmt.Println(page.Items[0].Actor, page.Items[0].Action)
	// Output: ann queues.insert
}

// Middleware sees every enqueue made in Go, and may change it.
func ExampleEnqueueMiddleware() {
	pool, done := open()
	defer done()
	ctx := context.Background()
	tagged := func(next penstock.EnqueueFunc) penstock.EnqueueFunc {
		return func(ctx context.Context, jobs []penstock.NewJob) ([]int64, error) {
			for i := range jobs {
				jobs[i].Tags = append(jobs[i].Tags, "region:eu")
			}
			return next(ctx, jobs)
		}
	}
	client := must(penstock.NewClient(pool, penstock.Config{EnqueueMiddleware: []penstock.EnqueueMiddleware{tagged}}))
	id := must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	fmt.Println(must(client.Job(ctx, id)).Tags)
	// Output: [region:eu]
}

func ExampleHooks() {
	pool, done := open()
	defer done()
	client := must(penstock.NewClient(pool, penstock.Config{Hooks: penstock.Hooks{
		Enqueued: func(e penstock.EnqueueEvent) { fmt.Println("enqueued", e.Jobs, "in", e.Queue) },
	}}))
	must(client.Enqueue(context.Background(), penstock.NewJob{Queue: "mail", Name: "welcome"}))
	// Output: enqueued 1 in mail
}
