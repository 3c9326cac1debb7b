package maintain

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/penstock/penstock/db"
	"github.com/penstock/penstock/internal/wait"
)

const (
	callTimeout    = 30 * time.Second // of one call to Postgres
	pruneBatch     = 10_000
	retryBatch     = 1000
	purgeBatch     = 1000
	tallyBatch     = 5000
	muchTallied    = 500
	partitionTries = 20
)

// tasks are the scheduled tasks by name, as in penstock.scheduled_tasks.
func (m *maintainer) tasks() map[string]task {
	return map[string]task{
		"dlq-purge":       m.purgeDead,
		"dlq-retries":     m.retryDead,
		"health-reports":  m.reportHealth,
		"metrics-cleanup": m.cleanUpMetrics,
		"metrics-rollup":  m.rollUpMetrics,
		"metrics-sample":  m.sampleMetrics,
		"partitions":      m.partitions,
		"prune":           m.prune,
	}
}

// retryDead redrives the dead jobs that are due for it.
func (m *maintainer) retryDead(ctx context.Context, _ json.RawMessage) (any, error) {
	redriven, err := drain(ctx, func(ctx context.Context) (int, bool, error) {
		ids, err := m.queries.ProcessScheduledRetries(ctx, db.ProcessScheduledRetriesParams{MaxJobs: retryBatch})
		return len(ids), len(ids) == retryBatch, err
	})
	return counts{"redriven": redriven}, err
}

// purgeDead deletes dead jobs past their queue's retention.
func (m *maintainer) purgeDead(ctx context.Context, _ json.RawMessage) (any, error) {
	purged, err := drain(ctx, func(ctx context.Context) (int, bool, error) {
		n, err := m.queries.PurgeExpiredDead(ctx, purgeBatch)
		return int(n), n > 0, err
	})
	return counts{"purged": purged}, err
}

// sampleMetrics adds the tallies to the samples and counts the jobs of each queue.
func (m *maintainer) sampleMetrics(ctx context.Context, _ json.RawMessage) (any, error) {
	folded, err := drain(ctx, func(ctx context.Context) (int, bool, error) {
		n, err := m.queries.SampleMetrics(ctx, tallyBatch) // -1: another process does it
		return max(int(n), 0), n == tallyBatch, err
	})
	return counts{"tallies": folded}, err
}

// foldTallies folds tallies early where there are many: readers of figures have to add up
// what is not folded yet, and metrics-sample comes only every few seconds.
func (m *maintainer) foldTallies(ctx context.Context) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = m.queries.FoldMetrics(ctx, db.FoldMetricsParams{LeastTallies: muchTallied, MaxTallies: tallyBatch})
	return false, err // it is never urgent, so it counts as nothing found
}

// rollUpMetrics sums up the hours that are over.
func (m *maintainer) rollUpMetrics(ctx context.Context, _ json.RawMessage) (any, error) {
	hours, err := m.queries.RollUpMetrics(ctx) // -1: another process does it
	return counts{"hours": max(int(hours), 0)}, err
}

// cleanUpMetrics deletes samples past their retention.
func (m *maintainer) cleanUpMetrics(ctx context.Context, _ json.RawMessage) (any, error) {
	deleted, err := drain(ctx, func(ctx context.Context) (int, bool, error) {
		n, err := m.queries.PruneMetrics(ctx, pruneBatch)
		return int(n), n > 0, err
	})
	return counts{"deleted": deleted}, err
}

// prune deletes rows that nothing reads any more.
func (m *maintainer) prune(ctx context.Context, settings json.RawMessage) (any, error) {
	var set struct {
		TaskRuns float64 `json:"taskRuns"` // milliseconds
	}
	if err := json.Unmarshal(settings, &set); err != nil {
		return nil, fmt.Errorf("read the settings of prune: %w", err)
	}
	forgotten := counts{}
	for _, p := range []struct {
		what  string
		prune func(context.Context) (int32, error)
	}{
		{"breakerTallies", m.queries.PruneTallies},
		{"remoteClaims", m.queries.PruneRemoteClaims},
		{"taskRuns", func(ctx context.Context) (int32, error) {
			return m.queries.PruneTaskRuns(ctx, time.Duration(set.TaskRuns*float64(time.Millisecond)))
		}},
		{"replies", func(ctx context.Context) (int32, error) { return m.queries.PruneReplies(ctx, pruneBatch) }},
		{"departures", func(ctx context.Context) (int32, error) { return m.queries.PruneDepartures(ctx, pruneBatch) }},
		{"idempotencyKeys", func(ctx context.Context) (int32, error) { return m.queries.PruneKeys(ctx, pruneBatch) }},
	} {
		n, err := drain(ctx, func(ctx context.Context) (int, bool, error) {
			n, err := p.prune(ctx)
			return int(n), n == pruneBatch, err
		})
		if err != nil {
			return nil, fmt.Errorf("prune %s: %w", p.what, err)
		}
		forgotten[p.what] = n
	}
	return forgotten, nil
}

// reportHealth writes a health report of every queue and of the database.
func (m *maintainer) reportHealth(ctx context.Context, settings json.RawMessage) (any, error) {
	var set struct {
		Retention float64 `json:"retention"` // milliseconds
	}
	if err := json.Unmarshal(settings, &set); err != nil {
		return nil, fmt.Errorf("read the settings of health-reports: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n, err := m.queries.ReportHealth(ctx, time.Duration(set.Retention*float64(time.Millisecond)))
	return counts{"reports": int(n)}, err
}

// partitions creates the partitions of the days ahead and drops those past retention. It
// asks several times for a lock that is not free; then the run fails and comes again.
func (m *maintainer) partitions(ctx context.Context, settings json.RawMessage) (any, error) {
	var set struct {
		DaysAhead int32 `json:"daysAhead"`
	}
	if err := json.Unmarshal(settings, &set); err != nil {
		return nil, fmt.Errorf("read the settings of partitions: %w", err)
	}
	made, err := m.ensurePartitions(ctx, set.DaysAhead)
	if err != nil {
		return nil, err
	}
	dropped, err := drain(ctx, func(ctx context.Context) (int, bool, error) {
		day, err := m.queries.DropPartition(ctx)
		if err != nil || day < 0 {
			return 0, false, err
		}
		m.log().Info("dropped a partition past retention",
			"step", "tasks", "task", "partitions", "first_day", time.Unix(int64(day)*86400, 0).UTC())
		return 1, true, nil
	})
	return counts{"made": int(made), "dropped": dropped}, err
}

func (m *maintainer) ensurePartitions(ctx context.Context, daysAhead int32) (made int32, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for range partitionTries {
		if made, err = m.queries.EnsurePartitions(ctx, daysAhead); err == nil || ctx.Err() != nil {
			break
		}
		wait.For(ctx, 50*time.Millisecond)
	}
	return made, err
}

// counts are how much a task did, by what it did.
type counts map[string]int

// drain repeats a batch, each within callTimeout, while there is more, and adds up
// what the batches did.
func drain(ctx context.Context, batch func(context.Context) (n int, more bool, err error)) (sum int, err error) {
	for more := true; more && err == nil; {
		var n int
		within, cancel := context.WithTimeout(ctx, callTimeout)
		n, more, err = batch(within)
		cancel()
		sum += n
	}
	return sum, err
}
