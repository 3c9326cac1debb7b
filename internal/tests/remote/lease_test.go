package remote_test

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/remote"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestAHeartbeatTellsWhatToCancelAndWhatIsLost(t *testing.T) { // P5
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 3)
	w := f.register(t, "q")
	jobs := claim(t, w, 3)
	_, err := f.client.Cancel(soon(t), jobs[0].ID)
	require.NoError(t, err)
	require.Equal(t, []string{"accepted"}, finish(t, w, end(jobs[1], "completed")))
	reply, err := w.Heartbeat(soon(t), held(jobs...))
	require.NoError(t, err)
	require.Equal(t, remote.HeartbeatReply{Cancel: penstock.IDs{jobs[0].ID}, Lost: penstock.IDs{jobs[1].ID}}, reply)
}

// A claim whose reply never came is given back by the heartbeats that do not name it,
// once it is old enough that its reply can't be on the way.
func TestALostClaimIsGivenBack(t *testing.T) { // P3
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 2)
	w, other := f.register(t, "q"), f.register(t, "q")
	kept, lost := claim(t, w, 1)[0], claim(t, w, 1)[0]
	beat := func(held []remote.Held) {
		_, err := w.Heartbeat(soon(t), held)
		require.NoError(t, err)
	}
	beat(held(kept))
	require.Empty(t, claim(t, other, 2), "its reply may be on the way")
	f.exec(t, "UPDATE penstock.remote_claims SET claimed_at = claimed_at - interval '16 seconds'")
	beat(nil)
	require.Empty(t, claim(t, other, 2), "it did not say what it holds")
	beat(held(kept))
	again := claim(t, other, 2)
	require.Equal(t, []int64{lost.ID}, ids(again))
	require.Equal(t, lost.Attempt+1, again[0].Attempt)
	require.Zero(t, again[0].Failures+again[0].Crashes, "it cost nothing")
	require.Equal(t, []string{"lease_lost", "accepted"}, finish(t, w, end(lost, "completed"), end(kept, "completed")))
	f.exec(t, "UPDATE penstock.remote_claims SET claimed_at = claimed_at - interval '61 seconds' WHERE worker_id = $1", w.ID)
	beat(held())
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.remote_claims WHERE worker_id = $1", w.ID), "nothing stays behind")
}

func TestARepeatedEndIsAlreadyDoneAndAStaleOneIsLost(t *testing.T) { // P5, P8
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 1)
	w := f.register(t, "q")
	first := claim(t, w, 1)[0]
	require.Equal(t, []string{"accepted"}, finish(t, w, end(first, "released")))
	require.Equal(t, []string{"already_done"}, finish(t, w, end(first, "released")))
	second := claim(t, w, 1)[0]
	require.Equal(t, []string{"lease_lost"}, finish(t, w, end(first, "completed")))
	require.Equal(t, []string{"accepted", "lease_lost"}, finish(t, w, end(second, "completed"), end(first, "failed")))

	f.exec(t, "DELETE FROM penstock.workers WHERE id = $1", w.ID)
	require.Equal(t, []string{"already_done"}, finish(t, w, end(second, "completed")), "also after its burial")
}

func TestOneWorkersWordDoesNotEndAnothersAttempt(t *testing.T) { // P4
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 2)
	mine, other := f.register(t, "q"), f.register(t, "q")
	a, b := claim(t, mine, 1)[0], claim(t, other, 1)[0]
	require.Equal(t, []string{"lease_lost", "accepted"}, finish(t, other, end(a, "completed"), end(b, "dead")))
	require.Equal(t, []string{"accepted"}, finish(t, mine, end(a, "completed")))
	lost, err := other.Progress(soon(t), []remote.Progress{{Held: held(a)[0], Percent: 50}})
	require.NoError(t, err)
	require.Equal(t, penstock.IDs{a.ID}, lost)
}

func TestAnOwnerSpeaksForItsOwnWorkersOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 1)
	w := f.register(t, "q")
	job := claim(t, w, 1)[0]
	for _, thief := range []remote.Worker{
		f.remote.Worker("other", w.ID), f.remote.Worker("", w.ID), f.remote.Worker("tok", math.MaxInt64),
		f.remote.Worker("tok", -1),
	} {
		_, err := thief.Claim(soon(t), remote.ClaimRequest{ID: "c"})
		require.ErrorIs(t, err, penstock.ErrWorkerGone)
		_, err = thief.Heartbeat(soon(t), nil)
		require.ErrorIs(t, err, penstock.ErrWorkerGone)
		_, err = thief.Progress(soon(t), []remote.Progress{{Held: held(job)[0]}})
		require.ErrorIs(t, err, penstock.ErrWorkerGone)
		require.ErrorIs(t, thief.Leave(soon(t)), penstock.ErrWorkerGone)
		if answers, err := thief.Finish(soon(t), []remote.End{end(job, "completed")}); err == nil {
			require.Equal(t, "lease_lost", answers[0].Status)
		} else {
			require.ErrorIs(t, err, penstock.ErrWorkerGone)
		}
	}
	require.Equal(t, []string{"accepted"}, finish(t, w, end(job, "completed")))
}

// A worker of the library, with a connection of its own, is nobody's over HTTP.
func TestAWorkerWithItsOwnConnectionIsNotSpokenFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['q'])")
	_, err := f.remote.Worker("", id).Heartbeat(soon(t), nil)
	require.ErrorIs(t, err, penstock.ErrWorkerGone)
}

func TestEachEndIsJudgedByItself(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 6)
	w := f.register(t, "q")
	jobs := claim(t, w, 6)
	ends := make([]remote.End, 6)
	for i, outcome := range []string{"completed", "failed", "dead", "snoozed", "completed", "cancelled"} {
		ends[i] = end(jobs[i], outcome)
	}
	ends[0].Result = json.RawMessage(`{"pages":3}`)
	ends[1].ErrorClass, ends[1].Error = "TimeoutError", "slow\x00 host"
	hour := penstock.Milliseconds(time.Hour)
	ends[3].Delay = &hour
	ends[4].Result = json.RawMessage(`"\ud800"`) // valid to Go, no text to Postgres
	answers, err := w.Finish(soon(t), ends)
	require.NoError(t, err)
	var states []string
	for i, a := range answers {
		require.Equal(t, jobs[i].ID, a.ID, "in the order given")
		states = append(states, a.Status+" "+string(a.State))
	}
	require.Equal(t, []string{"accepted completed", "accepted retrying", "accepted dead", "accepted waiting", "refused ", "accepted cancelled"}, states)
	require.NotEmpty(t, answers[4].Message)
	require.WithinDuration(t, time.Now().Add(time.Hour), *answers[3].RunAt, time.Minute)
	info, err := f.client.Job(soon(t), jobs[1].ID)
	require.NoError(t, err)
	require.Equal(t, "TimeoutError", info.Attempts[0].ErrorClass)
	require.Equal(t, []string{"accepted"}, finish(t, w, end(jobs[4], "completed")), "it can be ended otherwise")
}

func TestABadEndIsNamedAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 2)
	w := f.register(t, "q")
	jobs := claim(t, w, 2)
	negative, year := penstock.Milliseconds(-1), penstock.Milliseconds(367*24*time.Hour)
	for _, c := range []struct {
		name, argument string
		spoil          func(*remote.End)
	}{
		{"an outcome is one of six", "attempts.1.outcome", func(e *remote.End) { e.Outcome = "lost" }},
		{"a queue has a name", "attempts.1.queueName", func(e *remote.End) { e.Queue = "a b" }},
		{"a result is JSON", "attempts.1.result", func(e *remote.End) { e.Result = json.RawMessage(`{`) }},
		{"a result is for what completed", "attempts.1.result", func(e *remote.End) { e.Outcome, e.Result = "failed", json.RawMessage(`1`) }},
		{"a delay is not negative", "attempts.1.delay", func(e *remote.End) { e.Delay = &negative }},
		{"a delay ends at 366 days", "attempts.1.delay", func(e *remote.End) { e.Delay = &year }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ends := []remote.End{end(jobs[0], "completed"), end(jobs[1], "completed")}
			c.spoil(&ends[1])
			_, err := w.Finish(soon(t), ends)
			refused := new(penstock.ArgumentError)
			require.ErrorAs(t, err, &refused)
			require.Equal(t, c.argument, refused.Argument)
			require.Equal(t, 2, ask[int](t, f, "SELECT count(*) FROM penstock.running"))
		})
	}
}

func TestWhoLeavesGivesBackWhatItHolds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 2)
	w, other := f.register(t, "q"), f.register(t, "q")
	jobs := claim(t, w, 2)
	require.NoError(t, w.Leave(soon(t)))
	require.ElementsMatch(t, ids(jobs), ids(claim(t, other, 9)))
	require.ErrorIs(t, w.Leave(soon(t)), penstock.ErrWorkerGone)
	require.Zero(t, ask[int](t, f, "SELECT count(*) FROM penstock.remote_claims WHERE worker_id = $1", w.ID))
}

func TestTheSilentAreBuriedAndTheirJobsRunAgain(t *testing.T) { // P9
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", 1)
	w, other := f.register(t, "q"), f.register(t, "q")
	lost := claim(t, w, 1)[0]
	f.exec(t, "SELECT penstock.bury(id, beat) FROM penstock.workers WHERE id = $1", w.ID)
	again, err := other.Claim(soon(t), remote.ClaimRequest{ID: "c", Wait: 10 * time.Second})
	require.NoError(t, err)
	require.Equal(t, lost.ID, again[0].ID)
	require.Equal(t, 1, again[0].Crashes)
	require.Equal(t, []string{"lease_lost"}, finish(t, w, end(lost, "completed")))
	require.Equal(t, 1, ask[int](t, f, "SELECT penstock.prune_remote_claims()"))
}

func TestARemoteThatDoesNotRunDoesNotWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	idle, err := remote.New(f.client)
	require.NoError(t, err)
	w, err := idle.Register(soon(t), "", remote.Registration{Queues: []string{"q"}})
	require.NoError(t, err)
	jobs, err := w.Claim(context.Background(), remote.ClaimRequest{ID: "c", Wait: 30 * time.Second})
	require.NoError(t, err)
	require.Empty(t, jobs)
}
