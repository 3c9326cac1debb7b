package penstock

import (
	"context"
	"time"

	"github.com/penstock/penstock/db"
)

// MetricsClient reads counts, rates and times: client.Metrics.
type MetricsClient struct{ *scope }

// Metrics are the state of a queue, or of all queues, now, and what happened in a window
// of time up to now. A rate of nothing is nil.
type Metrics struct {
	// Now. Where more than 10,000 jobs wait or are dead, they were counted at StateAt, some
	// seconds before, and what came and went since is added: how many wait, due or not, and
	// run is exact then too, but not how many of them retry or have fallen due since.
	Waiting          int64        `json:"waiting"`   // due
	Scheduled        int64        `json:"scheduled"` // due later, not failed yet
	Retrying         int64        `json:"retrying"`  // waiting after a failure or a crash
	Running          int64        `json:"running"`
	Dead             int64        `json:"dead"`
	OldestWaitingAge Milliseconds `json:"oldestWaitingAge"` // how long the first of the due jobs has been due; 0: none is
	StateAt          time.Time    `json:"stateAt"`

	// In the window. Completed to Expired count attempts by how they ended, Died the jobs
	// moved to the dead letter queue, which Failed or Lost counts too.
	Enqueued  int64 `json:"enqueued"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Lost      int64 `json:"lost"`
	Snoozed   int64 `json:"snoozed"`
	Released  int64 `json:"released"`
	Cancelled int64 `json:"cancelled"`
	Expired   int64 `json:"expired"`
	Died      int64 `json:"died"`

	SuccessRate *float64 `json:"successRate"` // 0–1: of the attempts that completed or failed
	FailureRate *float64 `json:"failureRate"`

	// From claim to end, of the attempts that completed. A worker claims ahead, so the time
	// in which a job waits in its memory counts.
	AverageProcessingTime *Milliseconds `json:"averageProcessingTime"`
	// From due to claim. Jobs that are due now count with their age, so a stall shows.
	AverageWaitTime *Milliseconds `json:"averageWaitTime"`

	Throughput  float64       `json:"throughput"`  // completed per second
	JobsPerHour float64       `json:"jobsPerHour"` // completed
	ArrivalRate float64       `json:"arrivalRate"` // enqueued per second
	DrainRate   float64       `json:"drainRate"`   // jobs that left per second: completed, cancelled, expired, died
	TimeToDrain *Milliseconds `json:"timeToDrain"` // until no job is due, at these rates; nil: never
	Slots       int           `json:"slots"`       // what the live workers run at once
	Capacity    *float64      `json:"capacity"`    // per second: slots / average processing time
	Utilisation *float64      `json:"utilisation"` // running / slots, at most 1; nil without a live worker
}

// QueueMetrics are the metrics of one queue.
type QueueMetrics struct {
	Queue   string       `json:"queueName"`
	At      time.Time    `json:"timestamp"`
	Since   time.Time    `json:"since"`  // where the window starts: at a minute, so it is a little longer than asked
	Window  Milliseconds `json:"window"` // from Since to At
	Metrics Metrics      `json:"metrics"`
}

// AllMetrics are those of every queue that holds anything, has a worker or settings, or
// did something in the window.
type AllMetrics struct {
	At     time.Time      `json:"timestamp"`
	Since  time.Time      `json:"since"`
	Window Milliseconds   `json:"window"`
	Total  Metrics        `json:"total"`
	Queues []QueueMetrics `json:"queues"` // by name
}

// Queue returns the metrics of a queue over the window up to now, 1 minute to 731 days.
// An unused queue has no rates and zero counts. Counts are exact: what a
// transaction adds or ends is in the answer as soon as it has committed. A window of more
// than two days starts at an hour, and one past what is kept of hours (90 days by default)
// at a day.
// Errors: *ArgumentError.
func (c MetricsClient) Queue(ctx context.Context, queue string, window time.Duration) (QueueMetrics, error) {
	if queue == "" {
		return QueueMetrics{}, refuse("queue", "given", "nothing")
	}
	all, err := c.queueFigures(ctx, queue, window)
	if err != nil {
		return QueueMetrics{}, err
	}
	return all[0], nil
}

// All returns the metrics of all queues over the window, together and each.
func (c MetricsClient) All(ctx context.Context, window time.Duration) (AllMetrics, error) {
	all, err := c.queueFigures(ctx, "", window)
	if err != nil {
		return AllMetrics{}, err
	}
	total := all[0]
	return AllMetrics{total.At, total.Since, total.Window, total.Metrics, all[1:]}, nil
}

// queueFigures reads one queue's, or for "" the total and then each queue's.
func (c MetricsClient) queueFigures(ctx context.Context, queue string, window time.Duration) ([]QueueMetrics, error) {
	if err := checkWindow(window); err != nil {
		return nil, err
	}
	rows, err := c.queries.QueueMetrics(ctx, db.QueueMetricsParams{Queue: optional(queue), Span: window})
	if err != nil {
		return nil, translate("read metrics", err)
	}
	all := make([]QueueMetrics, len(rows))
	for i, r := range rows {
		m := Metrics{
			Waiting: r.Waiting, Scheduled: r.Scheduled, Retrying: r.Retrying, Running: r.Running, Dead: r.Dead, StateAt: r.StateAt.UTC(),
			Enqueued: r.Enqueued, Completed: r.Completed, Failed: r.Failed, Lost: r.Lost, Snoozed: r.Snoozed,
			Released: r.Released, Cancelled: r.Cancelled, Expired: r.Expired, Died: r.Died,
			SuccessRate: r.SuccessRate, FailureRate: r.FailureRate,
			AverageProcessingTime: durationOf(r.AverageProcessingMs), AverageWaitTime: durationOf(r.AverageWaitMs),
			Throughput: r.Throughput, JobsPerHour: r.JobsPerHour, ArrivalRate: r.ArrivalRate, DrainRate: r.DrainRate,
			Slots: int(r.Slots), Capacity: r.Capacity, Utilisation: r.Utilisation,
		}
		if r.OldestWaitingMs != nil {
			m.OldestWaitingAge = *durationOf(r.OldestWaitingMs)
		}
		if r.DrainSeconds != nil {
			ms := *r.DrainSeconds * 1000
			m.TimeToDrain = durationOf(&ms)
		}
		all[i] = QueueMetrics{Queue: value(r.Queue), At: r.At.UTC(), Since: r.Since.UTC(), Window: Milliseconds(r.At.Sub(r.Since)), Metrics: m}
	}
	return all, nil
}

const maxWindow = 731 * 24 * time.Hour

func checkWindow(window time.Duration) error {
	if window < time.Minute || window > maxWindow {
		return refuse("window", "1 minute to 731 days", window)
	}
	return nil
}

// durationOf makes a duration of a number of them, the longest there is of more.
func durationOf(ms *float64) *Milliseconds {
	if ms == nil {
		return nil
	}
	const most = Milliseconds(1<<63 - 1)
	m := most
	if f := *ms * float64(time.Millisecond); f < float64(most) {
		m = Milliseconds(f)
	}
	return &m
}
