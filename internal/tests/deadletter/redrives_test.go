package deadletter_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// start begins a redrive of queue q.
func (f *fixture) start(t tester, r penstock.RedriveRequest) int64 {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	r.Queue = or(r.Queue, "q")
	id, err := f.client.DLQ.Redrive(ctx, r)
	require.NoError(t, err)
	return id
}

// advance lets a redrive's last move be so long ago and carries on one redrive, as
// a server does; -1: there was nothing to do.
func (f *fixture) advance(t tester, ago time.Duration) int {
	t.Helper()
	f.exec(t, "UPDATE penstock.redrives SET moved_at = clock_timestamp() - $1::interval WHERE state = 'running'", ago)
	return ask[int](t, f, "SELECT coalesce(penstock.advance_redrives(), -1)")
}

func (f *fixture) redrive(t tester, id int64) penstock.Redrive {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	r, err := f.client.DLQ.GetRedrive(ctx, id)
	require.NoError(t, err)
	return r
}

func TestADryRunCountsAndNamesTen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, append(repeat(12, death{NewJob: penstock.NewJob{Name: "a"}}), repeat(3, death{})...)...)
	count, err := f.client.DLQ.Count(t.Context(), "q", penstock.DeadFilter{Name: "a"})
	require.NoError(t, err)
	require.Equal(t, penstock.DeadCount{Jobs: 12, Sample: reversed(ids[2:12])}, count)
	require.Len(t, f.dead(t, penstock.DeadQuery{}), 15, "it changes nothing")
}

func TestARedriveOfManySendsWhatItsFilterFindsAndNoMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, append(repeat(7, death{NewJob: penstock.NewJob{Name: "a"}}), repeat(2, death{NewJob: penstock.NewJob{Name: "b"}})...)...)
	f.kill(t, death{NewJob: penstock.NewJob{Queue: "r", Name: "a"}})
	id, err := f.client.As("ann").DLQ.Redrive(t.Context(), penstock.RedriveRequest{Queue: "q", Filter: penstock.DeadFilter{Name: "a"}})
	require.NoError(t, err)
	r := f.redrive(t, id)
	require.Equal(t, "running", r.State)
	require.WithinDuration(t, time.Now(), r.CreatedAt, patience)
	require.Equal(t, 7, f.advance(t, time.Hour))
	require.Equal(t, -1, f.advance(t, time.Hour), "it is done")

	r = f.redrive(t, id)
	require.NotNil(t, r.FinishedAt)
	r.CreatedAt, r.FinishedAt = time.Time{}, nil
	require.Equal(t, penstock.Redrive{
		ID: id, Queue: "q", Filter: penstock.DeadFilter{Name: "a"}, State: "done", Total: 7, Redriven: 7, Rate: 1000,
		CanaryShare: 0.5, MaxGeneration: 10, StartedBy: "ann",
	}, r)
	require.Len(t, f.dead(t, penstock.DeadQuery{}), 3)
	require.Equal(t, ids[:7], list[int64](t, f,
		"SELECT job_id FROM penstock.departures WHERE redrive_id = $1 AND how = 'redriven' ORDER BY job_id", id))
}

func TestTheRateIsHonoured(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(400, death{})...)
	id := f.start(t, penstock.RedriveRequest{Rate: 100})
	require.Equal(t, 100, f.advance(t, time.Hour), "a second's worth at most, however long nobody moved it")
	n := f.advance(t, 500*time.Millisecond)
	require.True(t, n >= 50 && n <= 100, "half a second's worth and what passed since, got %d", n)
	require.Equal(t, -1, ask[int](t, f, "SELECT coalesce(penstock.advance_redrives(), -1)"), "nothing twice within 100 ms")
	_, err := f.client.DLQ.CancelRedrive(t.Context(), id)
	require.NoError(t, err)

	f.start(t, penstock.RedriveRequest{Rate: 1})
	require.Equal(t, -1, f.advance(t, 200*time.Millisecond), "one a second is not one at every call")
	require.Equal(t, 1, f.advance(t, 1100*time.Millisecond))
	require.Equal(t, 1, f.advance(t, time.Hour))
}

func TestACanaryThatLivesIsFollowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(20, death{})...)
	id := f.start(t, penstock.RedriveRequest{Canary: 4})
	require.Equal(t, 4, f.advance(t, time.Hour))
	require.Equal(t, -1, f.advance(t, time.Hour), "the canary still waits")
	require.Equal(t, "waiting for the canary", f.redrive(t, id).Note)
	canary := f.claim(t, "q", 10)
	require.Len(t, canary, 4)
	require.Equal(t, -1, f.advance(t, time.Hour), "the canary runs")
	// One dies, and two of different errors are still not half of one error.
	f.end(t, "q", canary, []death{{message: "one"}, {message: "two"}, {outcome: "completed"}, {outcome: "completed"}})
	require.Equal(t, 16, f.advance(t, time.Hour))
	r := f.redrive(t, id)
	require.Equal(t, []any{"done", int64(20), 0, ""}, []any{r.State, r.Redriven, r.Canary, r.Note})
}

func TestACanaryThatDiesOfOneErrorStopsTheRestUntilSomebodyResumes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(20, death{})...)
	id := f.start(t, penstock.RedriveRequest{Canary: 4, CanaryShare: 0.5})
	require.Equal(t, 4, f.advance(t, time.Hour))
	canary := f.claim(t, "q", 10)
	f.end(t, "q", canary, []death{{message: "block 1"}, {message: "block 2"}, {outcome: "completed"}, {outcome: "completed"}})
	require.Equal(t, -1, f.advance(t, time.Hour))
	r := f.redrive(t, id)
	require.Equal(t, []any{"stopped", int64(4)}, []any{r.State, r.Redriven})
	require.Contains(t, r.Note, "canary")
	require.NotNil(t, r.FinishedAt)
	require.Equal(t, -1, f.advance(t, time.Hour), "it stays stopped")

	state, err := f.client.DLQ.ResumeRedrive(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "running", state)
	require.Equal(t, 16, f.advance(t, time.Hour))
	r = f.redrive(t, id)
	require.Equal(t, []any{"done", int64(20)}, []any{r.State, r.Redriven})
	require.Len(t, f.dead(t, penstock.DeadQuery{}), 2, "the canary's dead stay")
}

func TestARedrivePausesResumesAndIsCancelled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(300, death{})...)
	id := f.start(t, penstock.RedriveRequest{Rate: 100})
	steer := func(how func(context.Context, int64) (string, error), want string) {
		t.Helper()
		state, err := how(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, state)
	}
	require.Equal(t, 100, f.advance(t, time.Hour))
	steer(f.client.DLQ.PauseRedrive, "paused")
	require.Equal(t, -1, f.advance(t, time.Hour))
	steer(f.client.DLQ.ResumeRedrive, "running")
	require.Equal(t, 100, f.advance(t, time.Hour))
	steer(f.client.DLQ.CancelRedrive, "cancelled")
	require.Equal(t, -1, f.advance(t, time.Hour))
	steer(f.client.DLQ.ResumeRedrive, "cancelled")
	require.Equal(t, -1, f.advance(t, time.Hour))

	r := f.redrive(t, id)
	require.Equal(t, []any{"cancelled", int64(200), int64(300)}, []any{r.State, r.Redriven, r.Total})
	require.NotNil(t, r.FinishedAt)
	require.Len(t, f.dead(t, penstock.DeadQuery{Limit: 500}), 100)
	require.Equal(t, []string{"redrives.start", "redrives.pause", "redrives.resume", "redrives.cancel"},
		list[string](t, f, "SELECT action FROM penstock.audit_log WHERE action LIKE 'redrives.%' ORDER BY id"))

	for _, how := range []func(context.Context, int64) (string, error){f.client.DLQ.PauseRedrive, f.client.DLQ.ResumeRedrive, f.client.DLQ.CancelRedrive} {
		_, err := how(t.Context(), 4711)
		require.ErrorIs(t, err, penstock.ErrRedriveNotFound)
	}
	_, err := f.client.DLQ.GetRedrive(t.Context(), 4711)
	require.ErrorIs(t, err, penstock.ErrRedriveNotFound)
}

func TestEntriesAtTheGenerationCapStay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, repeat(4, death{})...)
	f.exec(t, "UPDATE penstock.dead_jobs SET generation = 3 WHERE job_id = ANY ($1)", ids[:2])
	id := f.start(t, penstock.RedriveRequest{MaxGeneration: 3})
	require.Equal(t, 2, f.advance(t, time.Hour))
	r := f.redrive(t, id)
	require.Equal(t, []any{"done", int64(2), int64(2)}, []any{r.State, r.Redriven, r.PassedOver})
	require.Equal(t, reversed(ids[:2]), f.dead(t, penstock.DeadQuery{}))
}

func TestWhatDiesDuringARedriveStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(30, death{})...)
	id := f.start(t, penstock.RedriveRequest{Rate: 10})
	later := f.kill(t, death{})
	f.advance(t, time.Hour)
	for _, job := range f.claim(t, "q", 100) { // and what was redriven dies again
		f.finish(t, job, "dead")
		later = append(later, job)
	}
	for f.redrive(t, id).State == "running" {
		f.advance(t, time.Hour)
	}
	require.Equal(t, int64(30), f.redrive(t, id).Redriven)
	require.ElementsMatch(t, later, f.dead(t, penstock.DeadQuery{}))
}

func TestARedriveThatOverlapsAnotherIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, repeat(20, death{})...)
	f.kill(t, death{NewJob: penstock.NewJob{Queue: "r"}})
	request := penstock.RedriveRequest{Queue: "q", Rate: 1}
	var begun, conflicts atomic.Int32
	together(6, func(int) {
		_, err := f.client.DLQ.Redrive(t.Context(), request)
		switch {
		case err == nil:
			begun.Add(1)
		case errors.Is(err, penstock.ErrConflict):
			conflicts.Add(1)
		default:
			t.Errorf("start: %v", err)
		}
	})
	require.Equal(t, []int32{1, 5}, []int32{begun.Load(), conflicts.Load()})
	f.start(t, penstock.RedriveRequest{Queue: "r"})
	list, err := f.client.DLQ.ListRedrives(t.Context(), "q", 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	id := list[0].ID
	_, err = f.client.DLQ.PauseRedrive(t.Context(), id)
	require.NoError(t, err)
	_, err = f.client.DLQ.Redrive(t.Context(), request)
	require.ErrorIs(t, err, penstock.ErrConflict, "a paused one is under way")
	require.ErrorContains(t, err, "under way")

	// One that its canary stopped makes way, and then has to wait itself.
	f.exec(t, "UPDATE penstock.redrives SET state = 'stopped' WHERE id = $1", id)
	other := f.start(t, request)
	for _, how := range []func(context.Context, int64) (string, error){f.client.DLQ.ResumeRedrive, f.client.DLQ.PauseRedrive} {
		_, err = how(t.Context(), id)
		require.ErrorIs(t, err, penstock.ErrConflict)
	}
	require.Equal(t, "stopped", f.redrive(t, id).State)
	_, err = f.client.DLQ.CancelRedrive(t.Context(), other)
	require.NoError(t, err)
	state, err := f.client.DLQ.ResumeRedrive(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "running", state)
}

func TestBadRequestsToRedriveAreRefusedByField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for field, r := range map[string]penstock.RedriveRequest{
		"queue":          {Queue: "no spaces"},
		"rate":           {Queue: "q", Rate: 100_001},
		"canary":         {Queue: "q", Canary: 1001},
		"canary_share":   {Queue: "q", CanaryShare: 1.1},
		"max_generation": {Queue: "q", MaxGeneration: 101},
	} {
		_, err := f.client.DLQ.Redrive(t.Context(), r)
		refused(t, err, field)
	}
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.redrives"))
}

func TestSeveralServersCarryARedriveOnWithoutDoublingAndSurviveEachOther(t *testing.T) { // P11, P13
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, repeat(500, death{})...)
	id := f.start(t, penstock.RedriveRequest{Rate: 100})

	// A server dies in the middle of a batch: its transaction is gone, the next goes on.
	tx, err := f.Pool.Begin(t.Context())
	require.NoError(t, err)
	f.exec(t, "UPDATE penstock.redrives SET moved_at = moved_at - interval '1 hour'")
	var n int
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT penstock.advance_redrives()").Scan(&n))
	require.Equal(t, 100, n)
	require.Equal(t, -1, ask[int](t, f, "SELECT coalesce(penstock.advance_redrives(), -1)"), "nobody else moves what one is moving")
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, int64(0), f.redrive(t, id).Redriven)

	together(6, func(int) {
		for ask[string](t, f, "SELECT state FROM penstock.redrives WHERE id = $1", id) == "running" {
			f.advance(t, time.Hour)
		}
	})
	r := f.redrive(t, id)
	require.Equal(t, []any{"done", int64(500), int64(0)}, []any{r.State, r.Redriven, r.PassedOver})
	require.Equal(t, ids, list[int64](t, f, "SELECT origin_id FROM penstock.jobs WHERE origin_id IS NOT NULL ORDER BY 1"))
}

func TestAWorkersMaintenanceCarriesARedriveOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := f.kill(t, repeat(3, death{})...)
	f.start(t, penstock.RedriveRequest{})
	origins := make(chan int64, 3)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deploy", func(_ context.Context, job *penstock.Job[struct{}]) error {
			origins <- job.OriginID
			return nil
		})
	})
	require.ElementsMatch(t, ids, []int64{next(t, origins), next(t, origins), next(t, origins)})
}
