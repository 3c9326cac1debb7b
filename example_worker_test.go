package penstock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/penstock/penstock"
)

// Run works until its context ends, and then finishes what runs.
func ExampleWorker_Run() {
	client, done := connect()
	defer done()
	ctx, stop := context.WithCancel(context.Background()) // in a service: signal.NotifyContext
	worker := serve(client, "mail")
	penstock.Handle(worker, "mail", "welcome", func(context.Context, *penstock.Job[Welcome]) error {
		fmt.Println("sent")
		stop()
		return nil
	})
	must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	fmt.Println(worker.Run(ctx))
	// Output:
	// sent
	// <nil>
}

// RunDue runs what is due now and returns, for tests and for programs that are started
// from time to time.
func ExampleWorker_RunDue() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	worker := serve(client, "mail")
	penstock.Handle(worker, "mail", penstock.AnyName, func(context.Context, *penstock.Job[json.RawMessage]) error {
		return errors.New("mail server is down")
	})
	must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	for _, end := range must(worker.RunDue(ctx, 0)) {
		fmt.Println(end.Outcome, "and now", end.State)
	}
	// Output: failed and now retrying
}

// What a handler returns decides how the attempt ends.
func ExampleHandle() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	worker := serve(client, "mail")
	penstock.Handle(worker, "mail", "welcome", func(_ context.Context, job *penstock.Job[Welcome]) error {
		switch job.Data.Email {
		case "":
			return penstock.Dead(errors.New("no address")) // a retry cannot help
		case "busy@example.org":
			return penstock.Snooze(time.Minute) // later, at no cost
		case "limited@example.org":
			return penstock.RetryIn(time.Hour, errors.New("too many mails")) // a failure, with a delay of its own
		}
		return nil
	})
	for _, email := range []string{"ann@example.org", "", "busy@example.org", "limited@example.org"} {
		must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome", Data: Welcome{email}}))
	}
	for _, end := range must(worker.RunDue(ctx, 0)) {
		fmt.Println(end.Outcome, end.State)
	}
	// Output:
	// completed completed
	// dead dead
	// snoozed waiting
	// failed retrying
}

// The handler's writes and the completion commit together: exactly once.
func ExampleJob_CompleteTx() {
	pool, done := open()
	defer done()
	ctx := context.Background()
	client := must(penstock.NewClient(pool, penstock.Config{}))
	must(pool.Exec(ctx, "CREATE TABLE ledger (cents int)"))
	worker := serve(client, "billing")
	penstock.Handle(worker, "billing", "charge", func(ctx context.Context, job *penstock.Job[int]) error {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx)
		if _, err := tx.Exec(ctx, "INSERT INTO ledger VALUES ($1)", job.Data); err != nil {
			return err
		}
		if err := job.CompleteTx(ctx, tx); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	must(client.Enqueue(ctx, penstock.NewJob{Queue: "billing", Name: "charge", Data: 995}))
	fmt.Println(must(worker.RunDue(ctx, 0))[0].State)
	// Output: completed
}

func ExampleProgress() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	worker := serve(client, "export")
	penstock.Handle(worker, "export", "orders", func(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
		if err := penstock.Progress(ctx, 40, "page 2 of 5"); err != nil {
			return err
		}
		running := must(client.Job(ctx, job.ID))
		fmt.Println(*running.Progress, running.ProgressNote)
		return nil
	})
	must(client.Enqueue(ctx, penstock.NewJob{Queue: "export", Name: "orders"}))
	must(worker.RunDue(ctx, 0))
	// Output: 40 page 2 of 5
}

// A handler can decide about its delays itself.
func ExampleCustomRetry() {
	backoff := penstock.CustomRetry(func(failures int, _ error) time.Duration {
		return time.Duration(failures*failures) * time.Minute
	})
	fails := func(context.Context, *penstock.Job[Welcome]) error { return errors.New("mail server is down") }
	for failures := range 3 {
		end := must(penstock.Try(context.Background(), fails, penstock.Job[Welcome]{Failures: failures}, backoff))
		fmt.Println(end.Delay)
	}
	// Output:
	// 1m0s
	// 4m0s
	// 9m0s
}

// Middleware wraps every handler of a worker.
func ExampleMiddleware() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	logged := func(next penstock.HandlerFunc) penstock.HandlerFunc {
		return func(ctx context.Context, job *penstock.Job[json.RawMessage]) error {
			err := next(ctx, job)
			fmt.Println(job.Name, err)
			return err
		}
	}
	worker := must(penstock.NewWorker(client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"mail": {}}, Middleware: []penstock.Middleware{logged},
	}))
	penstock.Handle(worker, "mail", "welcome", func(context.Context, *penstock.Job[Welcome]) error { return nil })
	must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	must(worker.RunDue(ctx, 0))
	// Output: welcome <nil>
}

func ExampleRetryStrategy_RetryDelay() {
	strategy := penstock.RetryStrategy{
		Type: penstock.Exponential, Delay: time.Second, Multiplier: 3, MaxDelay: 20 * time.Second,
	}
	for failures := 1; failures <= 4; failures++ {
		fmt.Print(strategy.RetryDelay(failures, 0), " ")
	}
	// Output: 1s 3s 9s 20s
}
