package penstock

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/penstock/penstock/db"
)

// QueueClient reads and changes queues: client.Queues. A queue needs no settings to be
// used; enqueueing to it is enough.
type QueueClient struct{ *scope }

// QueueCounts is how many jobs of a queue are in each state but the finished ones.
type QueueCounts struct {
	Queue     string `json:"queueName"`
	Waiting   int64  `json:"waiting"`   // due
	Scheduled int64  `json:"scheduled"` // due later, not failed yet
	Retrying  int64  `json:"retrying"`  // waiting after a failure or a crash
	Running   int64  `json:"running"`
	Dead      int64  `json:"dead"`
}

// Counts counts the jobs of one queue, or of every queue when queue is "". A queue without
// waiting, running or dead jobs has no element. It reads all rows that it counts.
func (c QueueClient) Counts(ctx context.Context, queue string) ([]QueueCounts, error) {
	rows, err := c.queries.CountByState(ctx, optional(queue))
	if err != nil {
		return nil, translate("count jobs", err)
	}
	counts := make([]QueueCounts, len(rows))
	for i, r := range rows {
		counts[i] = QueueCounts{r.Queue, r.Waiting, r.Scheduled, r.Retrying, r.Running, r.Dead}
	}
	return counts, nil
}

// Depth counts the waiting jobs of a queue, up to most (1–10,000,000).
func (c QueueClient) Depth(ctx context.Context, queue string, most int) (int64, error) {
	if most < 1 || most > 10_000_000 {
		return 0, refuse("most", "1 to 10000000", most)
	}
	waiting, err := c.queries.QueueDepth(ctx, db.QueueDepthParams{Queue: queue, Most: int32(most)})
	return waiting, translate("count waiting jobs", err)
}

// QueueSettings is how one queue treats its jobs.
type QueueSettings struct {
	Queue           string  `json:"queueName"`
	Paused          bool    `json:"paused"`
	DefaultPriority int     `json:"defaultPriority"` // weight of jobs that state none and that no rule matches
	Aging           float64 `json:"aging"`           // weight a waiting job gains per second; 0: none
}

// Settings returns the settings of a queue: the defaults where none were set.
func (c QueueClient) Settings(ctx context.Context, queue string) (QueueSettings, error) {
	r, err := c.queries.GetQueue(ctx, queue)
	if err != nil {
		return QueueSettings{}, translate("get queue", err)
	}
	return QueueSettings{r.Queue, r.Paused, int(r.DefaultPriority), r.Aging}, nil
}

// ListSettings returns the settings of the queues that have any of their own, by name.
func (c QueueClient) ListSettings(ctx context.Context) ([]QueueSettings, error) {
	rows, err := c.queries.ListQueues(ctx)
	if err != nil {
		return nil, translate("list queues", err)
	}
	all := make([]QueueSettings, len(rows))
	for i, r := range rows {
		all[i] = QueueSettings{r.Queue, r.Paused, int(r.DefaultPriority), r.Aging}
	}
	return all, nil
}

// QueueInfo is a queue's settings and how many jobs it holds.
type QueueInfo struct {
	QueueSettings
	Counts QueueCounts `json:"counts"`
}

// List returns the queues that hold jobs or have settings of their own, by name.
func (c QueueClient) List(ctx context.Context) ([]QueueInfo, error) {
	counts, err := c.Counts(ctx, "")
	if err != nil {
		return nil, err
	}
	settings, err := c.ListSettings(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]QueueInfo{}
	for _, n := range counts {
		byName[n.Queue] = QueueInfo{QueueSettings{n.Queue, false, 5, 0}, n}
	}
	for _, s := range settings {
		q := byName[s.Queue]
		q.Counts.Queue, q.QueueSettings = s.Queue, s
		byName[s.Queue] = q
	}
	list := slices.Collect(maps.Values(byName))
	slices.SortFunc(list, func(a, b QueueInfo) int { return strings.Compare(a.Queue, b.Queue) })
	return list, nil
}

// Get returns the settings and counts of one queue, which may be unused.
func (c QueueClient) Get(ctx context.Context, queue string) (QueueInfo, error) {
	settings, err := c.Settings(ctx, queue)
	if err != nil {
		return QueueInfo{}, err
	}
	counts, err := c.Counts(ctx, queue)
	if err != nil {
		return QueueInfo{}, err
	}
	return QueueInfo{settings, append(counts, QueueCounts{Queue: queue})[0]}, nil
}

// QueueChange is what Set changes. Zero fields stay as they are.
type QueueChange struct {
	DefaultPriority Priority // a level or a weight; from the next enqueue on
	Aging           *float64 // 0, or 0.00001–1000; from the next claim on
}

// Set changes settings of a queue. With aging, a waiting job is overtaken only
// by those enqueued less than (difference in weight / aging) seconds after it.
// Errors: *ArgumentError.
func (c QueueClient) Set(ctx context.Context, queue string, change QueueChange) error {
	err := c.acting(ctx, func(q *db.Queries) error {
		return q.SetQueue(ctx, db.SetQueueParams{
			Queue: queue, DefaultPriority: optional(string(change.DefaultPriority)), Aging: change.Aging,
		})
	})
	err = translate("set queue", err)
	if refused, ok := errors.AsType[*ArgumentError](err); ok && refused.Argument == "priority" {
		refused.Argument = "default_priority" // the function that reads it knows it by the shorter name
	}
	return err
}

// Pause stops claims of a queue: running jobs finish, enqueue goes on.
func (c QueueClient) Pause(ctx context.Context, queue string) error {
	err := c.acting(ctx, func(q *db.Queries) error { return q.PauseQueue(ctx, queue) })
	return translate("pause queue", err)
}

// Resume lets a paused queue's jobs be claimed again, at once.
func (c QueueClient) Resume(ctx context.Context, queue string) error {
	err := c.acting(ctx, func(q *db.Queries) error { return q.ResumeQueue(ctx, queue) })
	return translate("resume queue", err)
}
