package penstocktest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/penstocktest"
)

// Charge is the data of a payment job.
type Charge struct {
	Card  string `json:"card"`
	Cents int    `json:"cents"`
}

// charge is a handler that ends in every way there is.
func charge(ctx context.Context, job *penstock.Job[Charge]) error {
	switch {
	case job.Data.Cents <= 0:
		return penstock.Dead(errors.New("nothing to pay"))
	case job.Data.Card == "busy":
		return penstock.Snooze(10 * time.Minute)
	case job.Data.Card == "limited":
		return penstock.RetryIn(30*time.Second, errors.New("too many requests"))
	case job.Data.Card == "broken":
		return fmt.Errorf("attempt %d: card declined", job.Attempt)
	}
	return penstock.Result(ctx, map[string]string{"receipt": "r-1"})
}

func ExampleRun() {
	for _, data := range []Charge{{"visa", 995}, {"visa", 0}, {"busy", 995}, {"limited", 995}} {
		end := penstocktest.Run(context.Background(), charge, penstock.Job[Charge]{Data: data})
		fmt.Println(end)
	}
	// Output:
	// test/test job 1, attempt 1: completed, result {"receipt":"r-1"}
	// test/test job 1, attempt 1: dead (Error: nothing to pay)
	// test/test job 1, attempt 1: snoozed, again in 10m0s
	// test/test job 1, attempt 1: failed (Error: too many requests), again in 30s
}

func ExampleRun_laterAttempt() {
	end := penstocktest.Run(context.Background(), charge, penstock.Job[Charge]{
		Queue: "payments", Name: "charge", Data: Charge{"broken", 995}, Failures: 2,
	})
	fmt.Println(end)
	// Output: payments/charge job 1, attempt 3: failed (Error: attempt 3: card declined)
}

// What the handler does when its job is cancelled: the context ends with the cause
// that a worker would give.
func ExampleRun_cancelled() {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(penstock.ErrCancelled)
	end := penstocktest.Run(ctx, func(ctx context.Context, _ *penstock.Job[Charge]) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}, penstock.Job[Charge]{})
	fmt.Println(end.Outcome)
	// Output: cancelled
}
