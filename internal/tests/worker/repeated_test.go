package worker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// The reply to COMMIT is lost and an ordinary wrapper repeats the transaction, as the
// documentation of every database recommends. The second effect must not commit.
func TestATransactionRepeatedAfterALostReplyAppliesItsEffectOnce(t *testing.T) { // P6
	t.Parallel()
	t.Run("in SQL", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		f.exec(t, `CREATE TABLE effects (job_id bigint)`)
		worker := ask[int64](t, f, `SELECT penstock.register_worker('{q}')`)
		id := f.enqueue(t, penstock.NewJob{Name: "charge"})
		f.exec(t, `SELECT FROM penstock.claim('q', $1, 1)`, worker)
		charge := func() error {
			return pgx.BeginFunc(t.Context(), f.Pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), `INSERT INTO effects VALUES ($1)`, id); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), `SELECT penstock.complete('q', $1, 1)`, id)
				return err
			})
		}
		require.NoError(t, charge(), "committed; suppose that the reply was lost")
		require.Error(t, charge(), "the attempt has ended: this transaction must fail")
		require.Equal(t, 1, ask[int](t, f, `SELECT count(*) FROM effects`), "charged more than once")
		require.Equal(t, "completed", f.outcomes(t, id))
	})
	t.Run("by CompleteTx", func(t *testing.T) {
		t.Parallel()
		f, w := wired(t)
		f.exec(t, `CREATE TABLE effects (job_id bigint)`)
		f.work(t, penstock.WorkerConfig{}, func(worker *penstock.Worker) {
			penstock.Handle(worker, "q", "charge", func(ctx context.Context, job *penstock.Job[struct{}]) error {
				lost := w.Cut("commit")
				charge := func() error {
					return pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
						if _, err := tx.Exec(ctx, `INSERT INTO effects VALUES ($1)`, job.ID); err != nil {
							return err
						}
						return job.CompleteTx(ctx, tx)
					})
				}
				err := charge()
				if err == nil {
					return errors.New("the reply was not lost")
				}
				<-lost.Committed
				return charge() // the wrapper's second try
			})
		})
		id := f.enqueue(t, penstock.NewJob{Name: "charge"})
		f.end(t, id, 1)
		require.Equal(t, 1, ask[int](t, f, `SELECT count(*) FROM effects`), "charged more than once")
		require.Equal(t, penstock.Completed, f.job(t, id).State)
		require.Equal(t, "completed", f.outcomes(t, id))
	})
}
