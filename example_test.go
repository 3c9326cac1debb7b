package penstock_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// Welcome is the data of a job in the examples.
type Welcome struct {
	Email string `json:"email"`
}

// open returns a pool of a database that penstock migrate has prepared.
func open() (pool *pgxpool.Pool, done func()) { return testkit.ForExample() }

// connect returns a client of such a database.
func connect() (client *penstock.Client, done func()) {
	pool, done := open()
	return must(penstock.NewClient(pool, penstock.Config{})), done
}

// must ends an example at an error. An application handles it.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// serve makes a worker of one queue.
func serve(client *penstock.Client, queue string) *penstock.Worker {
	return must(penstock.NewWorker(client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{queue: {Concurrency: 20}},
	}))
}

// A job from its enqueue to its end.
func Example() {
	pool, done := open()
	defer done()
	ctx := context.Background()

	client, err := penstock.NewClient(pool, penstock.Config{})
	check(err)
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{
		Queues:          map[string]penstock.QueueConfig{"mail": {Concurrency: 20}},
		StopWhenDrained: true, // a service runs until its context ends
	})
	check(err)
	penstock.Handle(worker, "mail", "welcome", func(_ context.Context, job *penstock.Job[Welcome]) error {
		fmt.Println("welcome,", job.Data.Email)
		return nil
	})

	_, err = client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome", Data: Welcome{"ann@example.org"}})
	check(err)
	check(worker.Run(ctx))
	// Output: welcome, ann@example.org
}
