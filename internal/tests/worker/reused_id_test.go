package worker_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// The promoted standby of an asynchronous failover, or a restored backup, has never seen
// the last jobs, and gives their ids out again. A worker that still runs one of them must
// not end the new job that has its id and the same attempt.
func TestAHandlerFromBeforeAFailoverCannotEndANewJobWithItsID(t *testing.T) { // P3, P5
	t.Parallel()
	for name, handler := range map[string]string{"a plain completion": "stubborn", "a completion in a transaction": "effect"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.exec(t, `CREATE TABLE effects (job_id bigint, attempt integer)`)
			old := f.spawn(t, childSetup{Concurrency: 1})
			before := f.enqueue(t, penstock.NewJob{Name: handler, Data: effect{"go"}})
			old.awaitJob(t, "handling", before)

			// What the promoted server never received: the job, its lease, and its number.
			for _, table := range []string{"running", "pending", "jobs"} {
				column := "job_id"
				if table == "jobs" {
					column = "id"
				}
				f.exec(t, `DELETE FROM penstock.`+table+` WHERE `+column+` = $1`, before)
			}
			f.exec(t, `SELECT setval('penstock.job_sequence', $1 % 100000000000, false)`, before)

			goOn, open := gate(t)
			f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
				penstock.Handle(w, "q", "new", func(context.Context, *penstock.Job[struct{}]) error { <-goOn; return nil })
			})
			fresh, err := pgx.Connect(t.Context(), f.URL) // other sessions hold numbers in advance
			require.NoError(t, err)
			defer fresh.Close(context.Background())
			var after int64
			require.NoError(t, fresh.QueryRow(t.Context(), `SELECT penstock.enqueue('q', 'new', '{}')`).Scan(&after))
			require.Equal(t, before, after, "the sequence is behind")
			f.started.await(t, "the new job", 1, func(e penstock.StartEvent) bool { return e.JobID == after && e.Attempt == 1 })

			old.say(t, "go")
			require.True(t, old.awaitJob(t, "end", before).LeaseLost, "the old handler's end was accepted for the new job")
			require.Equal(t, penstock.Running, f.job(t, after).State, "the new job still runs")
			require.Zero(t, ask[int](t, f, `SELECT count(*) FROM effects`), "the old handler's effect was kept")
			open()
			require.Equal(t, "completed", f.end(t, after, 1).Outcome)
			require.Equal(t, "completed", f.outcomes(t, after))
		})
	}
}
