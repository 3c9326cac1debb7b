package remote_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/remote"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestAClaimLeasesByPriorityOverTheWorkersQueues(t *testing.T) { // P10
	t.Parallel()
	f := newFixture(t)
	low, high := f.enqueue(t, "a", 1)[0], int64(0)
	high, err := f.client.Enqueue(soon(t), penstock.NewJob{Queue: "a", Name: "n", Priority: penstock.High, Tags: []string{"x"}})
	require.NoError(t, err)
	other := f.enqueue(t, "b", 1)[0]
	f.enqueue(t, "foreign", 1)
	w := f.register(t, "b", "a")
	jobs := claim(t, w, 10)
	require.Equal(t, []int64{other, high, low}, ids(jobs))
	require.Equal(t, remote.Job{
		ID: high, Queue: "a", Name: "n", Data: json.RawMessage(`{}`), Tags: []string{"x"}, Priority: 10, Attempt: 1,
		RunAt: jobs[1].RunAt, EnqueuedAt: jobs[1].EnqueuedAt, ClaimedAt: jobs[1].ClaimedAt,
		Timeout: penstock.Milliseconds(5 * time.Minute),
	}, jobs[1])
	require.Empty(t, claim(t, w, 10))
}

func TestARepeatedClaimReturnsTheSameLeases(t *testing.T) { // P3, P4
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 5)
	w := f.register(t, "q")
	req := remote.ClaimRequest{ID: "mine", Limit: 3}
	first, err := w.Claim(soon(t), req)
	require.NoError(t, err)
	require.Len(t, first, 3)
	again, err := w.Claim(soon(t), req)
	require.NoError(t, err)
	require.Equal(t, first, again)

	require.Equal(t, []string{"accepted"}, finish(t, w, end(first[0], "completed")))
	again, err = w.Claim(soon(t), req)
	require.NoError(t, err)
	require.Equal(t, first[1:], again, "what has ended is not handed out again")

	// Another server answers alike: nothing is kept in the process.
	_, elsewhere := f.join(t)
	again, err = elsewhere.Worker("tok", w.ID).Claim(soon(t), req)
	require.NoError(t, err)
	require.Equal(t, first[1:], again)
	require.Len(t, claim(t, w, 10), 2, "another id gets the others")
}

func TestOneClaimSentTwiceAtOnceLeasesOnce(t *testing.T) { // P4
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 100)
	w := f.register(t, "q")
	var group sync.WaitGroup
	got := make([][]remote.Job, 8)
	for i := range got {
		group.Go(func() { got[i], _ = w.Claim(soon(t), remote.ClaimRequest{ID: "mine", Limit: 10}) })
	}
	group.Wait()
	for _, jobs := range got {
		require.Equal(t, ids(got[0]), ids(jobs))
	}
	require.Len(t, got[0], 10)
	require.Equal(t, 10, ask[int](t, f, "SELECT count(*) FROM penstock.running"))
}

func TestAWaitingClaimIsWokenByAnEnqueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.register(t, "q")
	got := make(chan []remote.Job, 1)
	go func() {
		jobs, _ := w.Claim(soon(t), remote.ClaimRequest{ID: "long", Wait: 30 * time.Second})
		got <- jobs
	}()
	f.awaitSleepers(t, 1)
	id := f.enqueue(t, "q", 1)[0]
	require.Equal(t, []int64{id}, ids(<-got))
}

// awaitSleepers waits until connections listen for so many queues.
func (f *fixture) awaitSleepers(t testing.TB, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return ask[int](t, f, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'
			AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == n
	}, patience, time.Millisecond)
}

func TestManyWaitAndEachJobGoesToOne(t *testing.T) { // P4
	t.Parallel()
	f := newFixture(t)
	const workers = 40
	var group sync.WaitGroup
	got := make(chan int64, workers)
	for range workers {
		w := f.register(t, "q", "r")
		group.Go(func() {
			jobs, err := w.Claim(soon(t), remote.ClaimRequest{ID: "long", Wait: 30 * time.Second})
			if err == nil && len(jobs) == 1 {
				got <- jobs[0].ID
			}
		})
	}
	f.awaitSleepers(t, 2)
	want := append(f.enqueue(t, "q", workers/2), f.enqueue(t, "r", workers/2)...)
	group.Wait()
	close(got)
	all := []int64{}
	for id := range got {
		all = append(all, id)
	}
	require.ElementsMatch(t, want, all)
	require.Equal(t, 1, ask[int](t, f, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
		AND pid <> pg_backend_pid()
		AND (query LIKE '%start_listening%' OR query = 'LISTEN penstock')`), "one connection listens for all")
}

func TestAScheduledJobReachesAWaitingClaimWhenItFallsDue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.register(t, "q")
	id, err := f.client.Enqueue(soon(t), penstock.NewJob{Queue: "q", Name: "n", Delay: 2 * time.Second})
	require.NoError(t, err)
	jobs, err := w.Claim(soon(t), remote.ClaimRequest{ID: "long", Wait: 30 * time.Second})
	require.NoError(t, err)
	require.Equal(t, []int64{id}, ids(jobs))
	require.False(t, jobs[0].ClaimedAt.Before(jobs[0].RunAt))
}

func TestAWaitEndsEmptyHanded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	jobs, err := f.register(t, "q").Claim(soon(t), remote.ClaimRequest{ID: "long", Wait: 20 * time.Millisecond})
	require.NoError(t, err)
	require.Empty(t, jobs)
}

func TestWhoHangsUpLeasesNothing(t *testing.T) { // P3
	t.Parallel()
	f := newFixture(t)
	w, other := f.register(t, "q"), f.register(t, "q")
	ctx, hangUp := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = w.Claim(ctx, remote.ClaimRequest{ID: "long", Wait: 30 * time.Second})
	}()
	f.awaitSleepers(t, 1)
	hangUp()
	<-ended
	id := f.enqueue(t, "q", 1)[0]
	require.Equal(t, []int64{id}, ids(claim(t, other, 1)))
}

func TestABuriedWorkerIsToldWhileItWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.register(t, "q")
	failed := make(chan error, 1)
	go func() {
		_, err := w.Claim(soon(t), remote.ClaimRequest{ID: "long", Wait: 30 * time.Second})
		failed <- err
	}()
	f.awaitSleepers(t, 1)
	f.exec(t, "DELETE FROM penstock.workers WHERE id = $1", w.ID)
	require.ErrorIs(t, <-failed, penstock.ErrWorkerGone)
}

func TestWhoWaitsStaysAlive(t *testing.T) { // P9
	t.Parallel()
	f := newFixture(t)
	w := f.register(t, "q")
	before := ask[int64](t, f, "SELECT beat FROM penstock.workers WHERE id = $1", w.ID)
	ctx, hangUp := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = w.Claim(ctx, remote.ClaimRequest{ID: "long", Wait: 30 * time.Second})
	}()
	require.Eventually(t, func() bool { // two of its own at most: a claim, its queues, a claim
		return ask[int64](t, f, "SELECT beat FROM penstock.workers WHERE id = $1", w.ID) > before+3
	}, patience, 50*time.Millisecond)
	hangUp()
	<-ended
}

func TestABadClaimIsRefusedByItsField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.register(t, "q")
	for _, c := range []struct {
		name, argument string
		req            remote.ClaimRequest
	}{
		{"an id is needed", "claim_id", remote.ClaimRequest{}},
		{"an id is at most 64 bytes", "claim_id", remote.ClaimRequest{ID: strings.Repeat("a", 65)}},
		{"an id has no spaces", "claim_id", remote.ClaimRequest{ID: "a b"}},
		{"a limit is not negative", "max_jobs", remote.ClaimRequest{ID: "a", Limit: -1}},
		{"a limit ends at 1000", "max_jobs", remote.ClaimRequest{ID: "a", Limit: 1001}},
		{"a wait ends at 30 s", "wait", remote.ClaimRequest{ID: "a", Wait: 31 * time.Second}},
		{"a queue is one it registered for", "queues", remote.ClaimRequest{ID: "a", Queues: []string{"q", "other"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := w.Claim(soon(t), c.req)
			refused := new(penstock.ArgumentError)
			require.ErrorAs(t, err, &refused)
			require.Equal(t, c.argument, refused.Argument)
		})
	}
}
