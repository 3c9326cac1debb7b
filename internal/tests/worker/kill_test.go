package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// shortLease is for tests whose claim is not the default lease.
const shortLease = 3 * time.Second

func TestJobsOfAKilledProcessRunAgainWithin20SecondsByDefault(t *testing.T) { // P9
	t.Parallel()
	f := newFixture(t)
	const n = 3
	doomed := f.spawn(t, childSetup{Concurrency: n})
	var ids []int64
	for range n {
		ids = append(ids, f.enqueue(t, penstock.NewJob{Name: "hang"}))
	}
	doomed.await(t, "handling", n)
	heir := f.spawn(t, childSetup{Concurrency: n})
	doomed.kill(t)
	killed := time.Now()
	again := heir.await(t, "handling", n)
	require.Less(t, time.Since(killed), 20*time.Second)
	for _, r := range again {
		require.Contains(t, ids, r.Job)
		require.Equal(t, 2, r.Attempt)
		require.Equal(t, 1, r.Crashes)
		require.Zero(t, r.Failures, "a crash is not the job's failure")
	}
	heir.say(t, "go")
	heir.await(t, "end", n)
	for _, id := range ids {
		info := f.job(t, id)
		require.Equal(t, penstock.Completed, info.State)
		require.Equal(t, "lost completed", f.outcomes(t, id))
		require.Equal(t, doomed.worker, info.Attempts[0].WorkerID)
		require.Equal(t, "WorkerLost", info.Attempts[0].ErrorClass)
	}
	require.Equal(t, []report{{What: "buried", Worker: doomed.worker}}, heir.await(t, "buried", 1))
	heir.stop(t)
}

func TestTheThirdLossLaysTheJobInTheDLQ(t *testing.T) { // P1, P9
	t.Parallel()
	f := newFixture(t)
	f.sweep(t, shortLease)
	id := f.enqueue(t, penstock.NewJob{Name: "stubborn", MaxAttempts: 1})
	for loss := 1; loss <= 3; loss++ {
		p := f.spawn(t, childSetup{Lease: shortLease})
		r := p.awaitJob(t, "handling", id)
		require.Equal(t, loss, r.Attempt)
		require.Equal(t, loss-1, r.Crashes)
		p.kill(t)
		f.buried.await(t, "the burial of a killed worker", loss, func(e penstock.BuryEvent) bool { return e.Lost == 1 })
	}
	require.Equal(t, penstock.DeadState, f.job(t, id).State)
	require.Equal(t, "lost lost lost", f.outcomes(t, id))
	page, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{Queue: "q"})
	require.NoError(t, err)
	dead := page.Items
	require.Len(t, dead, 1)
	require.Equal(t, "crash_loop", dead[0].Reason)
	require.Equal(t, 3, dead[0].Crashes)
	require.Equal(t, 3, dead[0].Attempts)
	require.Zero(t, dead[0].Failures, "crashes do not use up max attempts")
}

func TestEffectsAreExactlyOnceWhenKilledAroundTheCommit(t *testing.T) { // P6, P13
	t.Parallel()
	for name, c := range map[string]struct {
		halt     string
		attempt  int // whose effect is kept
		outcomes string
	}{
		"between the completion and its commit": {"before", 2, "lost completed"},
		"between the commit and its reply":      {"reply", 1, "completed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.exec(t, `CREATE TABLE effects (job_id bigint, attempt integer)`)
			f.sweep(t, shortLease)
			p := f.spawn(t, childSetup{Lease: shortLease})
			id := f.enqueue(t, penstock.NewJob{Name: "effect", Data: effect{c.halt}})
			p.awaitJob(t, "reached", id)
			p.kill(t)
			f.buried.await(t, "the burial of the killed worker", 1, func(e penstock.BuryEvent) bool { return e.WorkerID == p.worker })

			heir := f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
				penstock.Handle(w, "q", "effect", func(ctx context.Context, job *penstock.Job[effect]) error {
					tx, err := f.Pool.Begin(ctx)
					if err != nil {
						return err
					}
					defer tx.Rollback(ctx)
					if _, err := tx.Exec(ctx, `INSERT INTO effects VALUES ($1, $2)`, job.ID, job.Attempt); err != nil {
						return err
					}
					if err := job.CompleteTx(ctx, tx); err != nil {
						return err
					}
					return tx.Commit(ctx)
				})
				penstock.Handle(w, "q", "last", func(context.Context, *penstock.Job[struct{}]) error { return nil })
			})
			// Whatever there was to do again is done before this job of a lower priority.
			f.end(t, f.enqueue(t, penstock.NewJob{Name: "last", Priority: penstock.Low}), 1)
			heir.stop()
			require.Equal(t, c.outcomes, f.outcomes(t, id))
			require.Equal(t, []int32{int32(c.attempt)}, ask[[]int32](t, f, `SELECT array_agg(attempt) FROM effects`))
		})
	}
}
