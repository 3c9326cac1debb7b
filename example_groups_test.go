package penstock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/penstock/penstock"
)

// die enqueues a job of the queue and lets it fail for good. It returns its entry.
func die(client *penstock.Client, queue string) string {
	ctx := context.Background()
	worker := serve(client, queue)
	penstock.Handle(worker, queue, penstock.AnyName, func(context.Context, *penstock.Job[json.RawMessage]) error {
		return penstock.Dead(errors.New("card expired"))
	})
	must(client.Enqueue(ctx, penstock.NewJob{Queue: queue, Name: "charge"}))
	must(worker.RunDue(ctx, 0))
	return must(client.DLQ.List(ctx, penstock.DeadQuery{Queue: queue})).Items[0].ID
}

// A paused queue takes jobs, and no worker gets any.
func ExampleQueueClient_Pause() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	check(client.Queues.Pause(ctx, "mail"))
	must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	queue := must(client.Queues.Get(ctx, "mail"))
	fmt.Println(queue.Paused, queue.Counts.Waiting)
	check(client.Queues.Resume(ctx, "mail"))
	// Output: true 1
}

// A redrive enqueues the dead job again as a new one.
func ExampleDLQClient_RedriveJob() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	entry := die(client, "billing")
	id := must(client.DLQ.RedriveJob(ctx, "billing", entry, map[string]string{"card": "new"}))
	job := must(client.Job(ctx, id))
	fmt.Println(job.State, job.Generation, string(job.Data))
	// Output: waiting 1 {"card": "new"}
}

// Many are redriven by a durable operation: at a rate, and some first as a canary.
func ExampleDLQClient_Redrive() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	die(client, "billing")
	id := must(client.DLQ.Redrive(ctx, penstock.RedriveRequest{
		Queue: "billing", Filter: penstock.DeadFilter{Name: "charge"}, Rate: 100, Canary: 10,
	}))
	fmt.Println(must(client.DLQ.GetRedrive(ctx, id)).State)
	fmt.Println(must(client.DLQ.PauseRedrive(ctx, id)))
	// Output:
	// running
	// paused
}

func ExampleDLQClient_Groups() {
	client, done := connect()
	defer done()
	die(client, "billing")
	die(client, "billing")
	for _, group := range must(client.DLQ.Groups(context.Background(), "billing", 10)) {
		fmt.Println(group.Jobs, group.Example)
	}
	// Output: 2 card expired
}

func ExampleDLQClient_Purge() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	die(client, "billing")
	filter := penstock.DeadFilter{Name: "charge"}
	fmt.Println(must(client.DLQ.Count(ctx, "billing", filter)).Jobs)
	fmt.Println(must(client.DLQ.Purge(ctx, "billing", 0, filter, nil)))
	// Output:
	// 1
	// 1
}

// A policy for one queue; what it does not set comes from the policy of every queue.
func ExamplePolicyClient_Set() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	strategy, delay, attempts, jitter := penstock.Linear, penstock.Milliseconds(time.Minute), 4, 0.0
	check(client.Policies.Set(ctx, penstock.Policy{
		Queue: "mail", Name: "*", Strategy: &strategy, Delay: &delay, MaxAttempts: &attempts, Jitter: &jitter,
	}))
	for _, wait := range must(client.Policies.Preview(ctx, "mail", "welcome", nil)) {
		fmt.Print(time.Duration(wait.Usual), " ")
	}
	// Output: 1m0s 2m0s 3m0s
}

// Rules look at a job's data and give it a priority.
func ExamplePriorityClient_SetRule() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	check(client.Priorities.SetRule(ctx, penstock.PriorityRule{
		Queue: "mail", Position: 1, Condition: `$.plan == "pro"`, Priority: penstock.Critical,
	}))
	for _, plan := range []string{"pro", "free"} {
		decision := must(client.Priorities.Decide(ctx, "mail", map[string]string{"plan": plan}, nil))
		fmt.Println(plan, decision.Level, decision.Weight)
	}
	// Output:
	// pro critical 20
	// free normal 5
}

func ExampleBreakerClient_Set() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	check(client.Breakers.Set(ctx, penstock.Breaker{Queue: "webhooks", Name: "*", FailureShare: 0.8}))
	for _, b := range must(client.Breakers.List(ctx, "webhooks")).Settings {
		fmt.Println(b.Name, b.FailureShare, b.LeastAttempts, time.Duration(b.CoolDown))
	}
	// Output: * 0.8 20 30s
}

func ExampleWorkerClient_List() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	worker := serve(client, "mail")
	penstock.Handle(worker, "mail", "welcome", func(ctx context.Context, _ *penstock.Job[Welcome]) error {
		for _, w := range must(client.Workers.List(ctx, "mail")) {
			fmt.Println(w.Queues, w.Concurrency, w.Handlers)
		}
		return nil
	})
	must(client.Enqueue(ctx, penstock.NewJob{Queue: "mail", Name: "welcome"}))
	must(worker.RunDue(ctx, 0))
	// Output: [mail] 20 [mail welcome]
}

func ExampleMetricsClient_Queue() {
	client, done := connect()
	defer done()
	die(client, "billing")
	m := must(client.Metrics.Queue(context.Background(), "billing", time.Hour))
	fmt.Println(m.Metrics.Enqueued, m.Metrics.Died, m.Metrics.Dead)
	// Output: 1 1 1
}

// The thresholds decide what is an issue.
func ExampleHealthClient_Queue() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	die(client, "billing")
	fmt.Println(must(client.Health.Queue(ctx, "billing")).Status)

	warning, critical := 1.0, 2.0 // dead jobs within an hour
	check(client.Health.SetThresholds(ctx, "billing", map[string]*float64{"dead_warning": &warning, "dead_critical": &critical}))
	health := must(client.Health.Queue(ctx, "billing"))
	fmt.Println(health.Status, health.Issues[0].Code)
	// Output:
	// healthy
	// warning dead_growth
}

// Tasks keep the database in order. Servers and workers run them.
func ExampleTaskClient_Set() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	check(client.Tasks.Set(ctx, "dlq-purge", penstock.TaskChange{Schedule: "30 2 * * *", TimeZone: "Europe/Berlin"}))
	task := must(client.Tasks.Get(ctx, "dlq-purge"))
	fmt.Println(task.Schedule, task.TimeZone, task.NextRunAt.After(time.Now()))
	// Output: 30 2 * * * Europe/Berlin true
}

// A token for a worker of some queues. Its text is shown only here.
func ExampleTokenClient_Create() {
	client, done := connect()
	defer done()
	ctx := context.Background()
	issued := must(client.Tokens.Create(ctx, penstock.NewToken{
		Name: "mailer", Role: penstock.RoleWorker, Queues: []string{"mail*"},
	}))
	_, secret, ok := penstock.SplitToken(issued.Text)
	token := must(client.Tokens.List(ctx)).Tokens[0]
	fmt.Println(ok, token.Name, token.Covers("mail-bulk"), token.Admits(secret, time.Now()))
	// Output: true mailer true true
}
