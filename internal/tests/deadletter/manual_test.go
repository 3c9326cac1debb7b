package deadletter_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestAWaitingJobCanBeLaidInTheDeadLetterQueueByHand(t *testing.T) { // P1, P11
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Data: map[string]int{"a": 1}, MaxAttempts: 7})
	changed, err := f.client.As("ann").DLQ.Add(t.Context(), id, "poisons the printer")
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, penstock.DeadState, f.state(t, id))
	dead, err := f.client.DLQ.Get(t.Context(), "q", entry(id))
	require.NoError(t, err)
	require.Equal(t, "manual", dead.Reason)
	require.Equal(t, "poisons the printer", dead.Error)
	require.Equal(t, 7, dead.MaxAttempts)
	require.Nil(t, dead.NextRetryAt, "whoever laid it there decides when it goes back")
	require.JSONEq(t, `{"a": 1}`, string(dead.Data))
	log, err := f.client.Audit.List(t.Context(), penstock.AuditQuery{Queue: "q", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "jobs.dead_letter ann", log.Items[0].Action+" "+log.Items[0].Actor)

	again, err := f.client.DLQ.Add(t.Context(), id, "")
	require.NoError(t, err)
	require.False(t, again, "it waits no more")
	fresh, err := f.client.DLQ.RedriveJob(t.Context(), "q", entry(id), nil)
	require.NoError(t, err)
	require.Equal(t, penstock.Waiting, f.state(t, fresh))
}
