package deadletter_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// A session whose default is REPEATABLE READ decides on what it saw before it waited.
func TestTwoRedrivesOfAQueueNeverRunUnderAnOldSnapshot(t *testing.T) { // P11
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(3, death{})...)
	tx, err := f.Pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), `SELECT count(*) FROM penstock.redrives`) // the snapshot
	require.NoError(t, err)
	f.start(t, penstock.RedriveRequest{})

	_, err = tx.Exec(t.Context(), `SELECT penstock.start_redrive('q')`)
	if err == nil {
		err = tx.Commit(t.Context())
	}
	require.Error(t, err, "another redrive of the queue runs")
	require.Equal(t, 1, ask[int](t, f, `SELECT count(*) FROM penstock.redrives WHERE queue = 'q' AND state = 'running'`))
}
