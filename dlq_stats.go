package penstock

import (
	"context"
	"time"
)

// DeadStats sums up the dead letter queue of one queue or of all.
type DeadStats struct {
	Total        int64      `json:"total"`
	Retryable    int64      `json:"retryable"`
	NonRetryable int64      `json:"nonRetryable"`
	Scheduled    int64      `json:"scheduled"` // to be redriven by themselves
	Oldest       *time.Time `json:"oldest,omitempty"`
	Newest       *time.Time `json:"newest,omitempty"`

	// The most frequent first.
	ByReason []Count `json:"byReason"`
	ByClass  []Count `json:"byClass"`
	ByName   []Count `json:"byName"`

	Left []DeadLeft `json:"left"` // by UTC day, the newest first; up to 30 days that have any
}

// Count is how many jobs have a value.
type Count struct {
	Value string `json:"value"`
	Jobs  int64  `json:"jobs"`
}

// DeadLeft is how many jobs left the dead letter queue on a day.
type DeadLeft struct {
	Day      time.Time `json:"day"`
	Redriven int64     `json:"redriven"`
	Purged   int64     `json:"purged"`
}

// Stats reads every entry of the queue, or of every queue when queue is "".
func (c DLQClient) Stats(ctx context.Context, queue string) (DeadStats, error) {
	stats := DeadStats{ByReason: []Count{}, ByClass: []Count{}, ByName: []Count{}, Left: []DeadLeft{}}
	totals, err := c.queries.DeadTotals(ctx, optional(queue))
	if err != nil {
		return stats, translate("sum up dead jobs", err)
	}
	stats.Total, stats.Retryable, stats.Scheduled = totals.Jobs, totals.Retryable, totals.Scheduled
	stats.NonRetryable = totals.Jobs - totals.Retryable
	if totals.Jobs > 0 {
		stats.Oldest, stats.Newest = utc(&totals.Oldest), utc(&totals.Newest)
	}
	by, err := c.queries.DeadBy(ctx, optional(queue))
	if err != nil {
		return stats, translate("sum up dead jobs", err)
	}
	lists := map[string]*[]Count{"reason": &stats.ByReason, "class": &stats.ByClass, "name": &stats.ByName}
	for _, r := range by {
		*lists[r.Kind] = append(*lists[r.Kind], Count{r.Value, r.Jobs})
	}
	left, err := c.queries.DeparturesByDay(ctx, optional(queue))
	if err != nil {
		return stats, translate("sum up dead jobs", err)
	}
	for _, r := range left {
		stats.Left = append(stats.Left, DeadLeft{r.Day.UTC(), r.Redriven, r.Purged})
	}
	return stats, nil
}
