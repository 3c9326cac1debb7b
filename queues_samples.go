package penstock

import (
	"context"
	"time"
)

// QueueSample is a queue's state as it was last counted: some ten seconds ago, longer
// where counting takes long, and much longer where no server or worker runs.
type QueueSample struct {
	Counts           QueueCounts
	OldestWaitingAge time.Duration // of the job due for the longest, by now; 0: none was
	Slots            int           // jobs that the live workers ran at once
	Paused           bool          // now
	At               time.Time
	Age              time.Duration // since At, by the database's clock
}

// Samples returns the last sample of every queue, by name. It reads one small row for
// each, so it may be called often. List and Counts count again.
func (c QueueClient) Samples(ctx context.Context) ([]QueueSample, error) {
	rows, err := c.queries.ListQueueSamples(ctx)
	if err != nil {
		return nil, translate("list queue samples", err)
	}
	samples := make([]QueueSample, len(rows))
	for i, r := range rows {
		samples[i] = QueueSample{
			Counts:           QueueCounts{r.Queue, r.Waiting, r.Scheduled, r.Retrying, r.Running, r.Dead},
			OldestWaitingAge: seconds(r.OldestSeconds), Slots: int(r.Slots), Paused: r.Paused, At: r.At.UTC(),
			Age: seconds(r.AgeSeconds),
		}
	}
	return samples, nil
}

// seconds is a duration that is not negative, whatever clocks did.
func seconds(s float64) time.Duration { return max(time.Duration(s*float64(time.Second)), 0) }
