package penstock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/penstock/penstock/db"
)

// Remote speaks for workers that have no connection to Postgres of their own: those
// behind the HTTP API, in any language. It listens for all of them on one connection,
// and lets those that wait for jobs in as jobs come (remote_line.go). Any number of
// processes may have one; it keeps nothing that another cannot do without.
//
// A remote worker's lease lasts while it beats, as any worker's: every call of it is
// a beat, and while a claim of it waits, Remote beats in its stead. Whoever is silent
// for the lease (15 s) is buried, its jobs run again, and its next call says
// ErrWorkerGone: it drops what it holds and registers anew.
type Remote struct {
	client *Client
	line   *line
}

// What a remote worker is told when it registers.
const (
	RemoteBeatEvery = 5 * time.Second // it should beat so often
	RemoteLease     = defaultLease    // and is buried after so long without
)

// NewRemote makes a Remote and starts nothing.
func NewRemote(c *Client) (*Remote, error) {
	if c == nil || c.pool == nil {
		return nil, errors.New("penstock: NewRemote needs a client that is not in a transaction")
	}
	return &Remote{client: c, line: newLine(c)}, nil
}

// Run listens and beats for those who wait, until ctx ends. Without it claims do
// not wait.
func (r *Remote) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { r.line.listener.listen(ctx) })
	running.Go(func() { r.line.watch(ctx) })
	running.Go(func() { r.line.beat(ctx) })
	running.Wait()
}

// Registration is what a remote worker says of itself.
type Registration struct {
	Queues      []string `json:"queues"`                // 1–1,000
	Host        string   `json:"host,omitempty"`        // where it runs; clipped to 255 bytes
	PID         int      `json:"pid,omitempty"`         // 0: not said
	Version     string   `json:"version,omitempty"`     // of its handlers; clipped to 255 bytes
	Concurrency int      `json:"concurrency,omitempty"` // jobs at once; 0: 1
	Handlers    []string `json:"handlers,omitempty"`    // each "queue name", name * for any; nil: not said
}

// Register makes a remote worker known. Only the same owner, the id of an API token
// or "" where nobody is asked, can speak for it.
func (r *Remote) Register(ctx context.Context, owner string, reg Registration) (RemoteWorker, error) {
	if reg.PID < 0 || reg.PID > 1<<31-1 {
		return RemoteWorker{}, fmt.Errorf("register worker: %w", refuse("pid", "0 to 2147483647", reg.PID))
	}
	if reg.Concurrency < 0 || reg.Concurrency > 10_000 {
		return RemoteWorker{}, fmt.Errorf("register worker: %w", refuse("concurrency", "1 to 10000, or 0 for 1", reg.Concurrency))
	}
	id, err := r.client.queries.RegisterRemoteWorker(ctx, db.RegisterRemoteWorkerParams{
		Owner: owner, Queues: reg.Queues, Host: cleanText(reg.Host, 255), Pid: int32(reg.PID),
		Version: cleanText(reg.Version, 255), Concurrency: int32(max(reg.Concurrency, 1)), Handlers: reg.Handlers,
	})
	if err != nil {
		return RemoteWorker{}, translate("register worker", err)
	}
	return r.Worker(owner, id), nil
}

// Worker is the registered worker of that id; its calls say ErrWorkerGone when there
// is none, or it is another owner's.
func (r *Remote) Worker(owner string, id int64) RemoteWorker { return RemoteWorker{r, id, owner} }

// RemoteWorker is a worker that speaks through a Remote. Every call but Finish says
// ErrWorkerGone when the worker was buried or has left.
type RemoteWorker struct {
	remote *Remote
	ID     int64
	owner  string
}

// RemoteJob is a leased job: what it is, and the attempt that its end must name.
type RemoteJob struct {
	ID           int64           `json:"id,string"`
	Queue        string          `json:"queueName"`
	Name         string          `json:"name"`
	Data         json.RawMessage `json:"data"`
	Tags         []string        `json:"tags,omitempty"`
	Priority     int             `json:"priority"`
	Attempt      int             `json:"attempt"`
	Failures     int             `json:"failures"`
	Crashes      int             `json:"crashes"`
	RunAt        time.Time       `json:"runAt"`
	EnqueuedAt   time.Time       `json:"enqueuedAt"`
	ClaimedAt    time.Time       `json:"claimedAt"`
	Timeout      Milliseconds    `json:"timeout"` // from ClaimedAt; then the attempt is failed
	OriginID     int64           `json:"originId,string,omitempty"`
	Generation   int             `json:"generation"`
	TraceContext string          `json:"traceContext,omitempty"`
}

func remoteJob(l db.Lease) RemoteJob {
	return RemoteJob{
		ID: l.JobID, Queue: l.Queue, Name: l.Name, Data: l.Data, Tags: l.Tags, Priority: int(l.Priority),
		Attempt: int(l.Attempt), Failures: int(l.Failures), Crashes: int(l.Crashes), RunAt: l.RunAt.UTC(),
		EnqueuedAt: l.EnqueuedAt.UTC(), ClaimedAt: l.ClaimedAt.UTC(), Timeout: Milliseconds(l.Timeout),
		OriginID: value(l.OriginID), Generation: int(l.Generation), TraceContext: value(l.TraceContext),
	}
}

// HeldAttempt names an attempt that a worker holds.
type HeldAttempt struct {
	ID      int64 `json:"id,string"`
	Attempt int   `json:"attempt"`
}

// HeartbeatReply is what a remote worker has to know.
type HeartbeatReply struct {
	Cancel IDs `json:"cancel"` // its jobs that somebody wants cancelled: stop and finish them as cancelled
	Lost   IDs `json:"lost"`   // of those it named, the ones that are not its any more: drop them
}

// Heartbeat keeps the worker's leases. With held, all that it holds (an empty list
// too, at most 10,000), what was leased to it over 15 s ago and is not named is given
// back: the replies of those claims were lost. nil says nothing about it.
func (w RemoteWorker) Heartbeat(ctx context.Context, held []HeldAttempt) (HeartbeatReply, error) {
	params := db.RemoteHeartbeatParams{WorkerID: w.ID, Owner: w.owner}
	if held != nil {
		params.HeldIds, params.HeldAttempts = make([]int64, len(held)), make([]int32, len(held))
		for i, h := range held {
			params.HeldIds[i], params.HeldAttempts[i] = h.ID, clampInt32(h.Attempt)
		}
	}
	reply, err := w.remote.client.queries.RemoteHeartbeat(ctx, params)
	if err != nil {
		return HeartbeatReply{}, translate("heartbeat", err)
	}
	return HeartbeatReply{reply.Cancels, reply.Lost}, nil
}

// ProgressNote is how far an attempt is.
type ProgressNote struct {
	HeldAttempt
	Percent int    `json:"percent"` // 0–100
	Note    string `json:"note,omitempty"`
}

// Progress notes how far attempts are, at most 1,000 at once, and returns the ids of
// those that are not the worker's any more.
func (w RemoteWorker) Progress(ctx context.Context, notes []ProgressNote) (lost IDs, err error) {
	if len(notes) > maxRemote {
		return nil, fmt.Errorf("note progress: %w", refuse("attempts", "at most 1000", len(notes)))
	}
	params := db.RemoteProgressParams{WorkerID: w.ID, Owner: w.owner}
	for _, n := range notes {
		if err := checkPercent(n.Percent); err != nil {
			return nil, err
		}
		params.JobIDs, params.Attempts = append(params.JobIDs, n.ID), append(params.Attempts, clampInt32(n.Attempt))
		params.Percents, params.Notes = append(params.Percents, int32(n.Percent)), append(params.Notes, cleanText(n.Note, 256))
	}
	lost, err = w.remote.client.queries.RemoteProgress(ctx, params)
	return lost, translate("note progress", err)
}

// Leave gives back what the worker still holds, at no cost, and forgets it.
func (w RemoteWorker) Leave(ctx context.Context) error {
	_, err := w.remote.client.queries.DeregisterRemoteWorker(ctx, db.DeregisterRemoteWorkerParams{WorkerID: w.ID, Owner: w.owner})
	return translate("leave", err)
}

// clampInt32 keeps a foreign number foreign: no attempt has the outermost ones.
func clampInt32(n int) int32 { return int32(min(max(n, -1), 1<<31-1)) }
