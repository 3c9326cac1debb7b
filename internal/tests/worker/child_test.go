package worker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/lab/wire"
)

// childEnv, when set, makes this binary a worker process; it holds a childSetup.
const childEnv = "PENSTOCK_FAULTTEST_CHILD"

type childSetup struct {
	URL         string
	Queue       string
	Concurrency int
	Lease       time.Duration
}

// report is a line that a child writes to its parent.
type report struct {
	What      string // ready, handling, cause, reached, end, buried, stopped
	Worker    int64  `json:",omitempty"`
	Job       int64  `json:",omitempty"`
	Attempt   int    `json:",omitempty"`
	Failures  int    `json:",omitempty"`
	Crashes   int    `json:",omitempty"`
	Outcome   string `json:",omitempty"`
	LeaseLost bool   `json:",omitempty"`
	Text      string `json:",omitempty"`
}

// effect is what the "effect" handler does; see child.effect.
type effect struct {
	Halt string `json:"halt"`
}

// child is a worker process. It obeys its standard input: "go" lets the handlers
// that wait return, "stop" drains; it exits when its parent closes it.
type child struct {
	mu     sync.Mutex // one line at a time
	out    *json.Encoder
	pool   *pgxpool.Pool
	wire   *wire.Wire
	worker *penstock.Worker
	told   chan struct{} // closed by "go"
}

func childMain(setup string) int {
	c := &child{out: json.NewEncoder(os.Stdout), wire: &wire.Wire{}, told: make(chan struct{})}
	if err := c.run(setup); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

func (c *child) run(setup string) error {
	var s childSetup
	if err := json.Unmarshal([]byte(setup), &s); err != nil {
		return err
	}
	cfg, err := pgxpool.ParseConfig(s.URL)
	if err != nil {
		return err
	}
	c.wire.Through(cfg)
	if c.pool, err = pgxpool.NewWithConfig(context.Background(), cfg); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := penstock.NewClient(c.pool, penstock.Config{Logger: log, Hooks: c.hooks()})
	if err != nil {
		return err
	}
	c.worker, err = penstock.NewWorker(client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{s.Queue: {Concurrency: s.Concurrency}}, Lease: s.Lease,
	})
	if err != nil {
		return err
	}
	penstock.Handle(c.worker, s.Queue, "hang", c.hang)
	penstock.Handle(c.worker, s.Queue, "stubborn", c.stubborn)
	penstock.Handle(c.worker, s.Queue, "effect", c.effect)
	penstock.Handle(c.worker, s.Queue, "noop", func(context.Context, *penstock.Job[struct{}]) error { return nil })

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go c.obey(stop)
	if err := c.worker.Run(ctx); err != nil {
		return err
	}
	c.pool.Close()
	last := report{What: "stopped"}
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/penstock/penstock/internal/tests/worker_test.(*child).obey")); err != nil {
		last.Text = err.Error()
	}
	c.say(last)
	return nil
}

func (c *child) hooks() penstock.Hooks {
	var ready sync.Once
	return penstock.Hooks{
		Claimed: func(e penstock.ClaimEvent) {
			if e.Err == nil {
				ready.Do(func() { c.say(report{What: "ready", Worker: c.worker.ID()}) })
			}
		},
		Ended: func(e penstock.EndEvent) {
			c.say(report{What: "end", Job: e.JobID, Attempt: e.Attempt, Outcome: e.Outcome, LeaseLost: e.LeaseLost})
		},
		Buried: func(e penstock.BuryEvent) { c.say(report{What: "buried", Worker: e.WorkerID}) },
	}
}

func (c *child) say(r report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.out.Encode(r); err != nil {
		os.Exit(4) // the parent is gone
	}
}

func (c *child) obey(stop func()) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "go":
			close(c.told)
		case "stop":
			stop()
		}
	}
	os.Exit(3)
}

func (c *child) handling(job *penstock.Job[struct{}]) {
	c.say(report{
		What: "handling", Worker: c.worker.ID(), Job: job.ID, Attempt: job.Attempt,
		Failures: job.Failures, Crashes: job.Crashes,
	})
}

// hang waits for its context or for the parent, and reports why the former ended.
func (c *child) hang(ctx context.Context, job *penstock.Job[struct{}]) error {
	c.handling(job)
	select {
	case <-c.told:
		return nil
	case <-ctx.Done():
		c.say(report{What: "cause", Job: job.ID, Attempt: job.Attempt, Text: context.Cause(ctx).Error()})
		return ctx.Err()
	}
}

// stubborn waits for the parent alone and then believes it has done its work.
func (c *child) stubborn(_ context.Context, job *penstock.Job[struct{}]) error {
	c.handling(job)
	<-c.told
	return nil
}

// effect writes a row and completes in one transaction. It halts for good, and
// reports that it was reached, "before" its commit, or after the "reply" to the
// commit was sent and before it is read. With "go" it waits for the parent first.
func (c *child) effect(ctx context.Context, job *penstock.Job[effect]) error {
	if job.Data.Halt == "go" {
		c.say(report{What: "handling", Worker: c.worker.ID(), Job: job.ID, Attempt: job.Attempt})
		<-c.told
	}
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO effects (job_id, attempt) VALUES ($1, $2)`, job.ID, job.Attempt); err != nil {
			return err
		}
		if err := job.CompleteTx(ctx, tx); err != nil {
			return err
		}
		reached := report{What: "reached", Job: job.ID, Attempt: job.Attempt, Text: job.Data.Halt}
		switch job.Data.Halt {
		case "before":
			c.say(reached)
			select {}
		case "reply":
			fault := c.wire.Stop("commit")
			go func() {
				<-fault.Committed
				c.say(reached)
			}()
		}
		return nil
	})
}
