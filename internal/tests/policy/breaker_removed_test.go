package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// A batch of failures that has counted for a breaker commits after the breaker's removal:
// no state may stay open that nothing will ever close.
func TestABreakerRemovedWhileFailuresAreUnderWayDoesNotStayOpen(t *testing.T) { // P3
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	require.NoError(t, f.client.Breakers.Set(ctx, penstock.Breaker{
		Queue: "q", Name: "n", LeastAttempts: 2, CoolDown: penstock.Milliseconds(time.Hour),
	}))
	f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: "n", MaxAttempts: 1})
	var ids []int64
	var attempts []int32
	for _, l := range f.claim(t, f.register(t), "q", 2) {
		ids, attempts = append(ids, l.JobID), append(attempts, l.Attempt)
	}
	tx, err := f.Pool.Begin(ctx)
	require.NoError(t, err)
	defer tx.Rollback(ctx)
	_, err = tx.Exec(ctx, `SELECT FROM penstock.finish('q', $1, $2, array_fill('failed'::text, ARRAY[2]))`, ids, attempts)
	require.NoError(t, err)

	removed := make(chan error, 1)
	go func() { removed <- f.client.Breakers.Remove(ctx, "q", "n") }()
	select { // it may wait for the failures, or go first
	case err := <-removed:
		removed <- err
	case <-time.After(time.Second):
	}
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, <-removed)

	require.False(t, f.open(t, "n"), "no breaker is set, and its state is open")
	f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: "n"})
	require.Len(t, f.claim(t, f.register(t), "q", 2), 2, "jobs are held back for a breaker that does not exist")
}
