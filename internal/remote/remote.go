// Package remote is the engine for workers without a connection to Postgres of their
// own: those behind the HTTP API, in any language. It listens for all of them on one
// connection, and hands jobs to waiting claims in the order in which the claims came
// (waiting.go). Any number of processes may run one; it keeps no state that another
// process needs.
//
// A remote worker's lease lasts while it sends heartbeats, as any worker's. Each of its
// calls is a heartbeat, and while one of its claims waits, the engine beats for it. A
// worker that is silent for the lease (15 s) is declared dead, its jobs run again, and
// its next call returns penstock.ErrWorkerGone: it must drop what it holds and register
// again.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/lab/failpoint"
	"github.com/penstock/penstock/internal/safetext"
)

// What a remote worker learns when it registers.
const (
	BeatEvery = 5 * time.Second  // it should send a heartbeat so often
	Lease     = 15 * time.Second // and is declared dead after so long without
)

// Engine serves remote workers.
type Engine struct {
	queries *db.Queries
	hooks   penstock.Hooks
	log     *slog.Logger
	line    *waitingLine
}

// New makes an Engine on the client's pool, hooks and logger, and starts nothing.
func New(c *penstock.Client) (*Engine, error) {
	if c == nil || c.Pool() == nil {
		return nil, errors.New("penstock: remote workers need a client that is not in a transaction")
	}
	cfg := c.Config()
	e := &Engine{
		queries: db.New(failpoint.Wrap(c.Pool())), hooks: cfg.Hooks, log: cfg.Logger.With("component", "remote"),
	}
	e.line = newWaitingLine(e, c.Pool().Config().ConnConfig)
	return e, nil
}

// Run listens, and beats for workers whose claims wait, until ctx ends. Claims do not
// wait while it does not run.
func (e *Engine) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { e.line.listener.Run(ctx) })
	running.Go(func() { e.line.watch(ctx) })
	running.Go(func() { e.line.beat(ctx) })
	running.Wait()
}

// Registration is what a remote worker states about itself.
type Registration struct {
	Queues      []string `json:"queues"`                // 1–1,000
	Host        string   `json:"host,omitempty"`        // where it runs; cut to 255 bytes
	PID         int      `json:"pid,omitempty"`         // 0: not stated
	Version     string   `json:"version,omitempty"`     // of its handlers; cut to 255 bytes
	Concurrency int      `json:"concurrency,omitempty"` // jobs at once; 0: 1
	Handlers    []string `json:"handlers,omitempty"`    // each "queue name", name * for any; nil: not stated
}

// Register adds a remote worker. Only the same owner, which is the id of an API token or
// "" where no token is asked for, can act for it. Errors: *penstock.ArgumentError.
func (e *Engine) Register(ctx context.Context, owner string, reg Registration) (Worker, error) {
	if reg.PID < 0 || reg.PID > 1<<31-1 {
		return Worker{}, fmt.Errorf("register worker: %w", refuse("pid", "0 to 2147483647", reg.PID))
	}
	if reg.Concurrency < 0 || reg.Concurrency > 10_000 {
		return Worker{}, fmt.Errorf("register worker: %w", refuse("concurrency", "1 to 10000, or 0 for 1", reg.Concurrency))
	}
	id, err := e.queries.RegisterRemoteWorker(ctx, db.RegisterRemoteWorkerParams{
		Owner: owner, Queues: reg.Queues, Host: safetext.Clean(reg.Host, 255), Pid: int32(reg.PID),
		Version: safetext.Clean(reg.Version, 255), Concurrency: int32(max(reg.Concurrency, 1)), Handlers: reg.Handlers,
	})
	if err != nil {
		return Worker{}, translate("register worker", err)
	}
	return e.Worker(owner, id), nil
}

// Worker returns the registered worker of that id. Its calls return
// penstock.ErrWorkerGone when there is none, or when another owner registered it.
func (e *Engine) Worker(owner string, id int64) Worker { return Worker{e, id, owner} }

// Worker is a remote worker. Every call but Finish returns penstock.ErrWorkerGone when
// the worker was declared dead or has left.
type Worker struct {
	engine *Engine
	ID     int64
	owner  string
}

// Job is a leased job: what it is, and the attempt that its end must name.
type Job struct {
	ID           int64                 `json:"id,string"`
	Queue        string                `json:"queueName"`
	Name         string                `json:"name"`
	Data         json.RawMessage       `json:"data"`
	Tags         []string              `json:"tags,omitempty"`
	Priority     int                   `json:"priority"`
	Attempt      int                   `json:"attempt"`
	Failures     int                   `json:"failures"`
	Crashes      int                   `json:"crashes"`
	RunAt        time.Time             `json:"runAt"`
	EnqueuedAt   time.Time             `json:"enqueuedAt"`
	ClaimedAt    time.Time             `json:"claimedAt"`
	Timeout      penstock.Milliseconds `json:"timeout"` // from ClaimedAt; then the attempt fails
	OriginID     int64                 `json:"originId,string,omitempty"`
	Generation   int                   `json:"generation"`
	TraceContext string                `json:"traceContext,omitempty"`
}

func jobOf(l db.Lease) Job {
	return Job{
		ID: l.JobID, Queue: l.Queue, Name: l.Name, Data: l.Data, Tags: l.Tags, Priority: int(l.Priority),
		Attempt: int(l.Attempt), Failures: int(l.Failures), Crashes: int(l.Crashes), RunAt: l.RunAt.UTC(),
		EnqueuedAt: l.EnqueuedAt.UTC(), ClaimedAt: l.ClaimedAt.UTC(), Timeout: penstock.Milliseconds(l.Timeout),
		OriginID: value(l.OriginID), Generation: int(l.Generation), TraceContext: value(l.TraceContext),
	}
}

// Held names an attempt that a worker holds.
type Held struct {
	ID      int64 `json:"id,string"`
	Attempt int   `json:"attempt"`
}

// HeartbeatReply is what a remote worker has to know.
type HeartbeatReply struct {
	Cancel penstock.IDs `json:"cancel"` // its jobs that were cancelled: stop and finish them as cancelled
	Lost   penstock.IDs `json:"lost"`   // of those it named, the ones it no longer holds: drop them
}

// Heartbeat keeps the worker's leases. held lists all attempts that it holds, at most
// 10,000; an empty list means none. Attempts leased to it more than 15 s ago that are not
// in the list are given back, because the replies of those claims were lost. A nil list
// gives nothing back.
func (w Worker) Heartbeat(ctx context.Context, held []Held) (HeartbeatReply, error) {
	params := db.RemoteHeartbeatParams{WorkerID: w.ID, Owner: w.owner}
	if held != nil {
		params.HeldIds, params.HeldAttempts = make([]int64, len(held)), make([]int32, len(held))
		for i, h := range held {
			params.HeldIds[i], params.HeldAttempts[i] = h.ID, clampInt32(h.Attempt)
		}
	}
	reply, err := w.engine.queries.RemoteHeartbeat(ctx, params)
	if err != nil {
		return HeartbeatReply{}, translate("heartbeat", err)
	}
	return HeartbeatReply{reply.Cancels, reply.Lost}, nil
}

// Progress is how far an attempt is.
type Progress struct {
	Held
	Percent int    `json:"percent"` // 0–100
	Note    string `json:"note,omitempty"`
}

// Progress records how far attempts are, at most 1,000 at once, and returns the ids of
// those that the worker no longer holds.
func (w Worker) Progress(ctx context.Context, notes []Progress) (lost penstock.IDs, err error) {
	if len(notes) > mostJobs {
		return nil, fmt.Errorf("note progress: %w", refuse("attempts", "at most 1000", len(notes)))
	}
	params := db.RemoteProgressParams{WorkerID: w.ID, Owner: w.owner}
	for _, n := range notes {
		if n.Percent < 0 || n.Percent > 100 {
			return nil, fmt.Errorf("note progress: %w", refuse("percent", "0 to 100", n.Percent))
		}
		params.JobIDs, params.Attempts = append(params.JobIDs, n.ID), append(params.Attempts, clampInt32(n.Attempt))
		params.Percents, params.Notes = append(params.Percents, int32(n.Percent)), append(params.Notes, safetext.Clean(n.Note, 256))
	}
	lost, err = w.engine.queries.RemoteProgress(ctx, params)
	return lost, translate("note progress", err)
}

// Leave gives back what the worker still holds, at no cost to the jobs, and removes it.
func (w Worker) Leave(ctx context.Context) error {
	_, err := w.engine.queries.DeregisterRemoteWorker(ctx, db.DeregisterRemoteWorkerParams{WorkerID: w.ID, Owner: w.owner})
	return translate("leave", err)
}
