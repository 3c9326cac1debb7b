package worker_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// An operator cancels five running jobs in a transaction that stays open, and they end
// just then. Their ends must wait for it; those of all others must not.
func TestRowsThatAnotherTransactionLocksDoNotSlowOtherEnds(t *testing.T) { // P3
	t.Parallel()
	f := newFixture(t)
	goOn, open := gate(t)
	var running atomic.Int64
	f.work(t, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 20}}}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "gate", func(context.Context, *penstock.Job[struct{}]) error {
			running.Add(1)
			<-goOn
			return nil
		})
		penstock.Handle(w, "q", "noop", noop)
	})
	const held = 5
	var ids []int64
	for range held {
		ids = append(ids, f.enqueue(t, penstock.NewJob{Name: "gate"}))
	}
	until(t, "the handlers", func() bool { return running.Load() == held })

	// A backlog that does not end, so that the worker's speed is all that counts.
	feeding, enough := context.WithCancel(context.Background())
	var feeder sync.WaitGroup
	feeder.Go(func() {
		for feeding.Err() == nil {
			var waiting int
			if err := f.Pool.QueryRow(feeding, `SELECT count(*) FROM penstock.pending`).Scan(&waiting); err == nil && waiting < 10_000 {
				_, _ = f.client.EnqueueMany(feeding, noops(2000)) // its errors show as nothing to do
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	defer feeder.Wait()
	defer enough()
	completed := func() int {
		return ask[int](t, f, `SELECT count(*) FROM penstock.attempts WHERE outcome = 'completed'`)
	}
	const span = 5 * time.Second
	count := func() int {
		before := completed()
		time.Sleep(span)
		return completed() - before
	}
	until(t, "the worker's pace", func() bool { return completed() > 5000 })
	free := count()

	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	for _, id := range ids {
		_, err := tx.Exec(t.Context(), `SELECT penstock.cancel($1)`, id)
		require.NoError(t, err)
	}
	open()
	locked := count()
	require.NoError(t, tx.Rollback(t.Context()))
	enough()
	require.Greater(t, locked, free/3, "ends in %s while five rows were locked; %d before", span, free)
	for _, id := range ids {
		require.Equal(t, "completed", f.end(t, id, 1).Outcome)
	}
}
