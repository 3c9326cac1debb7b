package penstock

import "context"

// QueueCounts is how many jobs of a queue are in each state but the finished ones.
type QueueCounts struct {
	Queue     string `json:"queueName"`
	Waiting   int64  `json:"waiting"`   // due
	Scheduled int64  `json:"scheduled"` // due later, not failed yet
	Retrying  int64  `json:"retrying"`  // waiting after a failure or a crash
	Running   int64  `json:"running"`
	Dead      int64  `json:"dead"`
}

// Counts counts one queue's jobs, or every queue's when queue is "". A queue in
// which nothing waits, runs or is dead has no row. It reads the rows it counts.
func (c *Client) Counts(ctx context.Context, queue string) ([]QueueCounts, error) {
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
