package penstock

import (
	"context"
	"time"

	"github.com/penstock/penstock/db"
)

// Step is the span of time that one Sample sums up.
type Step string

// The steps that samples are kept by.
const (
	StepMinute Step = "minute" // 8 days by default
	StepHour   Step = "hour"   // 90 days
	StepDay    Step = "day"    // 2 years; UTC
)

// HistoryQuery asks for samples.
type HistoryQuery struct {
	Queue string    // "": all queues together
	From  time.Time // required
	To    time.Time // zero: now
	Step  Step      // "": minute; at most 12,000 of them
}

// Sample is what happened in a minute, an hour or a day of a queue, and the state that
// counted in that time: every ten seconds, or less often where counting takes long.
type Sample struct {
	At time.Time `json:"timestamp"` // where it starts

	Enqueued  int64 `json:"enqueued"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Lost      int64 `json:"lost"`
	Snoozed   int64 `json:"snoozed"`
	Released  int64 `json:"released"`
	Cancelled int64 `json:"cancelled"`
	Expired   int64 `json:"expired"`
	Died      int64 `json:"died"`

	SuccessRate           *float64      `json:"successRate"`
	AverageProcessingTime *Milliseconds `json:"averageProcessingTime"`
	AverageWaitTime       *Milliseconds `json:"averageWaitTime"` // of what was claimed

	// The mean of the counts; nil when there were none.
	Waiting   *float64 `json:"waiting"`
	Scheduled *float64 `json:"scheduled"`
	Retrying  *float64 `json:"retrying"`
	Running   *float64 `json:"running"`
	Dead      *float64 `json:"dead"`
	Slots     *float64 `json:"slots"`

	// The highest count; for all queues together the sum of each one's most.
	MostWaiting      *int64        `json:"mostWaiting"`
	OldestWaitingAge *Milliseconds `json:"oldestWaitingAge"`
}

// History lists the samples of a span of time, the oldest first. A time without counts
// has no sample: gaps are not filled. What ended in the last ten seconds may be missing.
// Errors: *ArgumentError.
func (c MetricsClient) History(ctx context.Context, q HistoryQuery) ([]Sample, error) {
	if q.Step == "" {
		q.Step = StepMinute
	}
	if q.From.IsZero() {
		return nil, refuse("from", "given", "nothing")
	}
	if !q.To.IsZero() && !q.From.Before(q.To) {
		return nil, refuse("from", "before to", q.From.Format(time.RFC3339))
	}
	rows, err := c.queries.History(ctx, db.HistoryParams{
		Queue: optional(q.Queue), Since: q.From, Until: moment(q.To), Step: string(q.Step),
	})
	if err != nil {
		return nil, translate("read history", err)
	}
	samples := make([]Sample, len(rows))
	for i, r := range rows {
		s := Sample{
			At: r.At.UTC(), Enqueued: r.Enqueued, Completed: r.Completed, Failed: r.Failed, Lost: r.Lost, Snoozed: r.Snoozed,
			Released: r.Released, Cancelled: r.Cancelled, Expired: r.Expired, Died: r.Died,
			SuccessRate:           share(r.Completed, r.Completed+r.Failed),
			AverageProcessingTime: mean(r.ProcessingMs, r.Completed), AverageWaitTime: mean(r.WaitMs, r.Claimed),
			Waiting: r.Waiting, Scheduled: r.Scheduled, Retrying: r.Retrying, Running: r.Running, Dead: r.Dead, Slots: r.Slots,
			MostWaiting: r.MostWaiting, OldestWaitingAge: durationOf(r.OldestWaitingMs),
		}
		samples[i] = s
	}
	return samples, nil
}

// share is a part of the whole, nil of nothing.
func share(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	f := float64(part) / float64(whole)
	return &f
}

// mean is the average of n durations, nil of none.
func mean(totalMS float64, n int64) *Milliseconds {
	if n == 0 {
		return nil
	}
	ms := totalMS / float64(n)
	return durationOf(&ms)
}
