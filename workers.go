package penstock

import (
	"context"
	"time"

	"github.com/penstock/penstock/db"
)

// WorkerClient reads which workers are registered: client.Workers.
type WorkerClient struct{ *scope }

// WorkerInfo is a running worker: one incarnation of one process.
type WorkerInfo struct {
	ID          int64     `json:"id,string"`
	Host        string    `json:"host"`
	PID         int       `json:"pid"`
	Version     string    `json:"version"`
	Queues      []string  `json:"queues"`
	Handlers    []string  `json:"handlers,omitempty"` // "queue name" each, * for any name; absent: not stated
	Concurrency int       `json:"concurrency"`        // jobs it runs at once, at most
	Running     int64     `json:"running"`            // jobs it holds now
	StartedAt   time.Time `json:"startedAt"`
	BeatAt      time.Time `json:"beatAt"` // its last heartbeat
}

// List returns the registered workers of one queue, or of all when queue is "", by id: the
// longest running first. A dead one is listed until
// maintenance has removed it.
func (c WorkerClient) List(ctx context.Context, queue string) ([]WorkerInfo, error) {
	rows, err := c.queries.ListWorkers(ctx, optional(queue))
	if err != nil {
		return nil, translate("list workers", err)
	}
	workers := make([]WorkerInfo, len(rows))
	for i, r := range rows {
		workers[i] = workerInfo(r)
	}
	return workers, nil
}

func workerInfo(r db.ListWorkersRow) WorkerInfo {
	return WorkerInfo{
		ID: r.ID, Host: r.Host, PID: int(r.Pid), Version: r.Version, Queues: r.Queues, Handlers: r.Handlers,
		Concurrency: int(r.Concurrency), Running: r.Running, StartedAt: r.StartedAt.UTC(), BeatAt: r.BeatAt.UTC(),
	}
}

// QueueLoad is what one process has of a queue at a moment.
type QueueLoad struct {
	Queue       string
	Concurrency int // handlers at once
	Running     int // jobs in handlers
	Buffered    int // jobs claimed, waiting for a handler
	Unwritten   int // jobs that ended, their ends not yet in Postgres
}

func (q *servedQueue) load() QueueLoad {
	q.mu.Lock()
	defer q.mu.Unlock()
	return QueueLoad{q.name, q.cfg.Concurrency, q.handling, len(q.buffer), max(len(q.held)-q.active(), 0)}
}
