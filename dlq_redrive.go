package penstock

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/db"
)

// RedriveJob sends one dead job back to its queue as a new job, which names it as
// its origin, and returns the new id. data replaces the job's data; nil keeps it.
// Repeating the call returns the same id.
// Errors: ErrDeadJobNotFound; ErrConflict when the entry was purged.
func (c DLQClient) RedriveJob(ctx context.Context, queue, entry string, data any) (int64, error) {
	var edited json.RawMessage
	if data != nil {
		var err error
		if edited, err = encodeData(data); err != nil {
			return 0, err
		}
	}
	var id int64
	err := c.acting(ctx, func(q *db.Queries) (err error) {
		id, err = q.Redrive(ctx, db.RedriveParams{Queue: queue, Entry: entry, Data: edited})
		return err
	})
	return id, translate("redrive", err)
}

// ProcessScheduledRetries redrives the entries of a queue (of every queue when
// queue is "") whose NextRetryAt has come, and returns the new jobs' ids. Any
// number of callers may do it at once: each entry goes once.
func (c DLQClient) ProcessScheduledRetries(ctx context.Context, queue string) ([]int64, error) {
	ids := []int64{}
	for {
		var more []int64
		err := c.acting(ctx, func(q *db.Queries) (err error) {
			more, err = q.ProcessScheduledRetries(ctx, db.ProcessScheduledRetriesParams{
				Queue: optional(queue), MaxJobs: maxBatch / 10,
			})
			return err
		})
		if err != nil {
			return ids, translate("process scheduled retries", err)
		}
		ids = append(ids, more...)
		if len(more) < maxBatch/10 {
			return ids, nil
		}
	}
}

// RedriveRequest asks to redrive the entries of a queue that a filter finds, as they are
// when the operation starts.
type RedriveRequest struct {
	Queue         string     `json:"queueName"`
	Filter        DeadFilter `json:"filter"`
	Rate          int        `json:"rate,omitempty"`          // jobs per second, 1–100,000; 0: 1,000
	Canary        int        `json:"canary,omitempty"`        // so many go first, up to 1,000; 0: no canary
	CanaryShare   float64    `json:"canaryShare,omitempty"`   // stops when this share of them die of one error; 0: 0.5
	MaxGeneration int        `json:"maxGeneration,omitempty"` // entries of this generation and above stay; 0: 10
}

// Redrive is a durable operation. Any server or worker continues it.
type Redrive struct {
	ID            int64      `json:"id,string"`
	Queue         string     `json:"queueName"`
	Filter        DeadFilter `json:"filter"`
	State         string     `json:"state"` // running, paused, done, cancelled, stopped (by its canary)
	Total         int64      `json:"total"` // found when it began
	Redriven      int64      `json:"redriven"`
	PassedOver    int64      `json:"passedOver"` // over the generation limit, or gone before its turn
	Rate          int        `json:"rate"`
	Canary        int        `json:"canary"` // 0 once it has passed
	CanaryShare   float64    `json:"canaryShare"`
	MaxGeneration int        `json:"maxGeneration"`
	StartedBy     string     `json:"startedBy"`
	CreatedAt     time.Time  `json:"createdAt"`
	FinishedAt    *time.Time `json:"finishedAt,omitempty"`
	Note          string     `json:"note,omitempty"`
}

// Redrive starts the operation and returns its id. Servers and workers carry it out.
// Errors: *ArgumentError; ErrConflict while another one of the queue is under way.
func (c DLQClient) Redrive(ctx context.Context, r RedriveRequest) (int64, error) {
	p := db.StartRedriveParams{
		Queue: r.Queue, Filter: filterJSON(r.Filter), Rate: int32(cmp.Or(r.Rate, 1000)), Canary: int32(r.Canary),
		CanaryShare: cmp.Or(r.CanaryShare, 0.5), MaxGeneration: int32(cmp.Or(r.MaxGeneration, 10)),
	}
	var id int64
	err := c.acting(ctx, func(q *db.Queries) (err error) {
		id, err = q.StartRedrive(ctx, p)
		return err
	})
	return id, translate("start redrive", err)
}

// PauseRedrive, ResumeRedrive and CancelRedrive change an operation and return its
// state. An operation that its canary stopped continues without a canary.
// Errors: ErrRedriveNotFound; ErrConflict when it had stopped and another one of its
// queue is under way.
func (c DLQClient) PauseRedrive(ctx context.Context, id int64) (string, error) {
	return c.steer(ctx, id, "pause")
}

// ResumeRedrive: see PauseRedrive.
func (c DLQClient) ResumeRedrive(ctx context.Context, id int64) (string, error) {
	return c.steer(ctx, id, "resume")
}

// CancelRedrive: see PauseRedrive. What was redriven stays so.
func (c DLQClient) CancelRedrive(ctx context.Context, id int64) (string, error) {
	return c.steer(ctx, id, "cancel")
}

func (c DLQClient) steer(ctx context.Context, id int64, action string) (state string, err error) {
	err = c.acting(ctx, func(q *db.Queries) (err error) {
		state, err = q.ControlRedrive(ctx, db.ControlRedriveParams{ID: id, Action: action})
		return err
	})
	if err == nil && state == "" {
		return "", fmt.Errorf("%s redrive %d: %w", action, id, ErrRedriveNotFound)
	}
	return state, translate(action+" redrive", err)
}

// GetRedrive returns an operation and its progress. Errors: ErrRedriveNotFound.
func (c DLQClient) GetRedrive(ctx context.Context, id int64) (Redrive, error) {
	r, err := c.queries.GetRedrive(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Redrive{}, fmt.Errorf("get redrive %d: %w", id, ErrRedriveNotFound)
	} else if err != nil {
		return Redrive{}, translate("get redrive", err)
	}
	return redrive(r)
}

// ListRedrives returns operations, newest first. queue "" means every queue; limit is 1–500,
// 0 means 50. Errors: *ArgumentError.
func (c DLQClient) ListRedrives(ctx context.Context, queue string, limit int) ([]Redrive, error) {
	n, err := pageSize(limit)
	if err != nil {
		return nil, err
	}
	rows, err := c.queries.ListRedrives(ctx, db.ListRedrivesParams{Queue: optional(queue), RowLimit: n})
	if err != nil {
		return nil, translate("list redrives", err)
	}
	list := make([]Redrive, len(rows))
	for i, r := range rows {
		if list[i], err = redrive(r); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func redrive(r db.Redrive) (Redrive, error) {
	out := Redrive{
		ID: r.ID, Queue: r.Queue, State: r.State, Total: r.Total, Redriven: r.Redriven, PassedOver: r.PassedOver,
		Rate: int(r.Rate), Canary: int(r.Canary), CanaryShare: r.CanaryShare, MaxGeneration: int(r.MaxGeneration),
		StartedBy: r.StartedBy, CreatedAt: r.CreatedAt.UTC(), FinishedAt: utc(r.FinishedAt), Note: value(r.Note),
	}
	if err := json.Unmarshal(r.Filter, &out.Filter); err != nil {
		return out, fmt.Errorf("read filter of redrive %d: %w", r.ID, err)
	}
	return out, nil
}

// DeadCount is how many entries a filter finds: the dry run of a redrive or purge.
type DeadCount struct {
	Jobs   int64 `json:"jobs"`
	Capped bool  `json:"capped"` // there are more: counting stopped
	Sample IDs   `json:"sampleJobIds"`
}

// Count counts the entries a filter finds, up to a million, and names ten.
func (c DLQClient) Count(ctx context.Context, queue string, filter DeadFilter) (DeadCount, error) {
	r, err := c.queries.CountDead(ctx, db.CountDeadParams{
		Queue: optional(queue), Filter: filterJSON(filter), Most: 1_000_000,
	})
	if err != nil {
		return DeadCount{}, translate("count dead jobs", err)
	}
	return DeadCount{r.Jobs, r.Capped, r.Sample}, nil
}

// Purge deletes entries of a queue (of every queue when queue is "") that died
// longer ago than olderThan and satisfy the filter, and returns how
// many. It works in batches and records each; progress, if given, is called with the count
// after each batch.
func (c DLQClient) Purge(ctx context.Context, queue string, olderThan time.Duration, filter DeadFilter, progress func(int64)) (int64, error) {
	var total int64
	for {
		var n int32
		err := c.acting(ctx, func(q *db.Queries) (err error) {
			n, err = q.PurgeDead(ctx, db.PurgeDeadParams{
				Queue: cmp.Or(queue, "*"), OlderThan: olderThan, Filter: filterJSON(filter), MaxJobs: 1000,
			})
			return err
		})
		if err != nil {
			return total, translate("purge dead jobs", err)
		}
		if n == 0 {
			return total, nil
		}
		total += int64(n)
		if progress != nil {
			progress(total)
		}
	}
}
