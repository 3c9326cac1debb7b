package deadletter_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
)

// explained is a job's explanation and its first reason, which must have the code.
func explained(t *testing.T, f *fixture, id int64, code string) (*penstock.Explanation, penstock.Reason) {
	t.Helper()
	e, err := f.client.Explain(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, e.JobID)
	require.NotEmpty(t, e.Reasons)
	require.Equal(t, code, e.Reasons[0].Code, e.Reasons)
	for _, r := range e.Reasons {
		require.NotEmpty(t, r.Message)
		require.NotNil(t, r.Facts)
		require.False(t, r.Blocks && e.Claimable, "claimable means that nothing blocks")
	}
	return e, e.Reasons[0]
}

// moment reads a fact that is a time.
func moment(t *testing.T, facts map[string]any, name string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(facts[name]))
	require.NoError(t, err)
	return at
}

func TestAnExplanationGivesEachReasonWithItsFacts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	byState := everyState(t, f)
	for _, c := range []struct {
		state penstock.State
		code  string
		words string
		check func(facts map[string]any)
	}{
		{penstock.DeadState, "dead", "Boom (non_retryable)", func(facts map[string]any) {
			require.Equal(t, []any{"non_retryable", "Boom", false, entry(byState[penstock.DeadState])},
				[]any{facts["reason"], facts["errorClass"], facts["canRetry"], facts["entry"]})
			require.WithinDuration(t, time.Now(), moment(t, facts, "failedAt"), patience)
		}},
		{penstock.Redriven, "redriven", "redriven as job", func(facts map[string]any) {
			require.Equal(t, []any{fmt.Sprint(f.job(t, byState[penstock.Redriven]).RedrivenAs), "postgres"}, []any{facts["newJobId"], facts["by"]})
		}},
		{penstock.Purged, "purged", "purged", func(facts map[string]any) { require.Equal(t, "postgres", facts["by"]) }},
		{penstock.Completed, "finished", "completed", func(facts map[string]any) { require.Equal(t, "completed", facts["outcome"]) }},
		{penstock.Cancelled, "finished", "cancelled", func(facts map[string]any) { require.Equal(t, "cancelled", facts["outcome"]) }},
		{penstock.Expired, "finished", "expired", func(facts map[string]any) { require.Equal(t, "expired", facts["outcome"]) }},
		{penstock.Running, "running", "attempt 1", func(facts map[string]any) {
			require.Equal(t, []any{1.0, fmt.Sprint(f.worker)}, []any{facts["attempt"], facts["workerId"]})
			require.True(t, moment(t, facts, "deadline").After(moment(t, facts, "claimedAt")))
		}},
		{penstock.Scheduled, "scheduled", "may not start before", func(facts map[string]any) {
			require.WithinDuration(t, time.Now().Add(time.Hour), moment(t, facts, "until"), patience)
		}},
		{penstock.Retrying, "retry_wait", "next attempt", func(facts map[string]any) {
			require.Equal(t, []any{1.0, 0.0}, []any{facts["failures"], facts["crashes"]})
			require.True(t, moment(t, facts, "until").After(time.Now()))
		}},
	} {
		t.Run(string(c.state), func(t *testing.T) {
			e, reason := explained(t, f, byState[c.state], c.code)
			require.Equal(t, []any{"q", c.state, false, true}, []any{e.Queue, e.State, e.Claimable, reason.Blocks})
			require.Contains(t, reason.Message, c.words)
			c.check(reason.Facts)
		})
	}
	waiting, err := f.client.Explain(t.Context(), byState[penstock.Waiting])
	require.NoError(t, err)
	require.True(t, waiting.Claimable)
	require.Equal(t, penstock.Waiting, waiting.State)
	require.Empty(t, waiting.Reasons, "nothing stands in its way")

	_, err = f.client.Cancel(t.Context(), byState[penstock.Running])
	require.NoError(t, err)
	e, _ := explained(t, f, byState[penstock.Running], "running")
	require.Equal(t, "cancel_requested", e.Reasons[1].Code)
}

func TestAnExplanationOfAWaitingJobNamesAllThatBlocksItAndWhatGoesFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.enqueue(t, penstock.NewJob{Priority: penstock.High})
	id := f.enqueue(t, penstock.NewJob{ExpiresIn: time.Hour})
	e, ahead := explained(t, f, id, "jobs_ahead")
	require.True(t, e.Claimable, "they go first, and it may go with them")
	require.Equal(t, map[string]any{"jobs": 1.0, "atLeast": false}, ahead.Facts)
	require.False(t, ahead.Blocks)

	require.NoError(t, f.client.Queues.Pause(t.Context(), "q"))
	e, paused := explained(t, f, id, "paused")
	require.False(t, e.Claimable)
	require.Contains(t, paused.Message, "queue q is paused")

	require.NoError(t, f.client.Breakers.Set(t.Context(), penstock.Breaker{Queue: "q", Name: "*"}))
	f.open(t, "q", "deploy", true, time.Minute, nil, nil)
	_, open := explained(t, f, id, "breaker_open")
	require.Contains(t, open.Message, "20 of 30 attempts failed")
	require.WithinDuration(t, time.Now().Add(time.Minute), moment(t, open.Facts, "nextProbeAt"), patience)

	f.exec(t, "UPDATE penstock.pending SET expires_at = clock_timestamp() WHERE job_id = $1", id)
	e, _ = explained(t, f, id, "expired")
	codes := []string{}
	for _, r := range e.Reasons {
		codes = append(codes, r.Code)
	}
	require.Equal(t, []string{"expired", "breaker_open", "paused", "jobs_ahead"}, codes, "the most decisive first")
	require.NotEqual(t, first, id)
}

func TestAnExplanationKnowsWhoCouldRunTheJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stranger := f.enqueue(t, penstock.NewJob{Queue: "r"})
	e, _ := explained(t, f, stranger, "no_worker")
	require.True(t, e.Claimable, "a claim would take it; nobody makes one")

	deaf := ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['r', 's'], handlers => ARRAY['r other', 's *'])")
	_, noHandler := explained(t, f, stranger, "no_handler")
	require.Contains(t, noHandler.Message, "knows the name deploy")
	any := f.enqueue(t, penstock.NewJob{Queue: "s"})
	e, err := f.client.Explain(t.Context(), any)
	require.NoError(t, err)
	require.Empty(t, e.Reasons, "a handler for any name")

	f.exec(t, "UPDATE penstock.workers SET handlers = array_append(handlers, 'r deploy') WHERE id = $1", deaf)
	e, err = f.client.Explain(t.Context(), stranger)
	require.NoError(t, err)
	require.Empty(t, e.Reasons)
	f.exec(t, "UPDATE penstock.workers SET handlers = NULL WHERE id = $1", deaf)
	e, err = f.client.Explain(t.Context(), stranger)
	require.NoError(t, err)
	require.Empty(t, e.Reasons, "it did not say which names it knows")
}

func TestAWorkerTellsWhichNamesItKnows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, "DELETE FROM penstock.workers")
	ran := make(chan struct{}, 1)
	f.work(t, penstock.WorkerConfig{}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "known", func(context.Context, *penstock.Job[struct{}]) error {
			ran <- struct{}{}
			return nil
		})
	})
	f.enqueue(t, penstock.NewJob{Name: "known"})
	next(t, ran)
	unknown := f.enqueue(t, penstock.NewJob{Name: "unknown", Delay: time.Hour})
	e, _ := explained(t, f, unknown, "scheduled")
	require.Equal(t, "no_handler", e.Reasons[1].Code)
}

func TestADeadJobIsExplainedWhenItsPartitionIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, death{})[0]
	f.exec(t, "DELETE FROM penstock.jobs WHERE id = $1", id)
	f.exec(t, "DELETE FROM penstock.attempts WHERE job_id = $1", id)
	e, _ := explained(t, f, id, "dead")
	require.Equal(t, []any{"q", "deploy", penstock.DeadState, false}, []any{e.Queue, e.Name, e.State, e.Claimable})
}

// An explanation says claimable if and only if a claim with room for all would take
// the job, whatever mixture of jobs, pause and breakers there is.
func TestClaimableIfAndOnlyIfAClaimTakesTheJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		queue := fmt.Sprintf("round-%d", round)
		ids := f.situation(r, queue)

		// One transaction, so that no clock moves on between the question and the proof.
		ctx, cancel := soon()
		defer cancel()
		tx, err := f.Pool.Begin(ctx)
		require.NoError(r, err)
		defer func() { _ = tx.Rollback(context.Background()) }()
		claimable := collect[int64](r, tx, `SELECT id FROM unnest($1::bigint[]) id
			WHERE (penstock.explain(id) ->> 'claimable')::boolean ORDER BY id`, ids)
		reasons := collect[string](r, tx, "SELECT penstock.explain(id)::text FROM unnest($1::bigint[]) id", ids)
		taken := collect[int64](r, tx, "SELECT job_id FROM penstock.claim($1, $2, 1000) ORDER BY job_id", queue, f.worker)
		require.Equal(r, taken, claimable, reasons)
	})
}

func collect[T any](t tester, tx pgx.Tx, sql string, args ...any) []T {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	found, err := tx.Query(ctx, sql, args...)
	require.NoError(t, err)
	all, err := pgx.CollectRows(found, pgx.RowTo[T])
	require.NoError(t, err)
	return all
}

// situation makes jobs of a queue in drawn states and settings that may stand in
// their way; returns their ids, which rise.
func (f *fixture) situation(r *rapid.T, queue string) []int64 {
	names := rapid.SampledFrom([]string{"a", "b"})
	var ids []int64
	// What has been claimed before, so that the rest stays where it is.
	for _, fate := range rapid.SliceOfN(rapid.SampledFrom([]string{"running", "completed", "dead", "redriven", "purged", "lost"}), 0, 4).Draw(r, "fates") {
		ids = append(ids, f.fate(r, penstock.NewJob{Queue: queue, Name: names.Draw(r, "name")}, fate)...)
	}
	for range rapid.IntRange(1, 6).Draw(r, "waiting") {
		id := f.enqueue(r, penstock.NewJob{
			Queue: queue, Name: names.Draw(r, "name"),
			Priority: rapid.SampledFrom([]penstock.Priority{"", penstock.High}).Draw(r, "priority"),
			Delay:    rapid.SampledFrom([]time.Duration{0, 0, time.Hour}).Draw(r, "delay"),
		})
		ids = append(ids, id)
		switch rapid.SampledFrom([]string{"", "", "failed", "to expire", "expired", "cancelled"}).Draw(r, "also") {
		case "failed":
			f.exec(r, "UPDATE penstock.pending SET failures = 2, attempt = 2 WHERE job_id = $1", id)
		case "to expire":
			f.exec(r, "UPDATE penstock.pending SET expires_at = clock_timestamp() + interval '1 hour' WHERE job_id = $1", id)
		case "expired":
			f.exec(r, "UPDATE penstock.pending SET expires_at = clock_timestamp() WHERE job_id = $1", id)
		case "cancelled":
			f.exec(r, "SELECT penstock.cancel($1)", id)
		}
	}
	if rapid.IntRange(0, 4).Draw(r, "paused") == 0 {
		f.exec(r, "SELECT penstock.pause_queue($1)", queue)
	}
	slices.Sort(ids)
	for _, name := range []string{"a", "b"} {
		f.breaker(r, queue, name, ids)
	}
	return ids
}

// fate lets one job come to an end of some kind; returns the job, and what was made of it.
func (f *fixture) fate(r *rapid.T, job penstock.NewJob, fate string) []int64 {
	id := f.enqueue(r, job)
	worker := ask[int64](r, f, "SELECT penstock.register_worker(ARRAY[$1])", job.Queue)
	f.exec(r, "SELECT penstock.claim($1, $2, 1000)", job.Queue, worker)
	ctx, cancel := soon()
	defer cancel()
	switch fate {
	case "completed", "dead":
		f.finish(r, id, fate)
	case "lost":
		f.exec(r, "SELECT penstock.finish($1, ARRAY[$2::bigint], ARRAY[1], ARRAY['snoozed'], delays => ARRAY[interval '1 hour'])", job.Queue, id)
		f.exec(r, "UPDATE penstock.pending SET crashes = 1 WHERE job_id = $1", id)
	case "purged":
		f.finish(r, id, "dead")
		_, err := f.client.DLQ.Purge(ctx, job.Queue, 0, penstock.DeadFilter{}, nil)
		require.NoError(r, err)
	case "redriven":
		f.finish(r, id, "dead")
		fresh, err := f.client.DLQ.RedriveJob(ctx, job.Queue, entry(id), nil)
		require.NoError(r, err)
		f.exec(r, "SELECT penstock.reschedule($1, clock_timestamp() + interval '1 hour')", fresh)
		return []int64{id, fresh}
	}
	return []int64{id}
}

// breaker draws a breaker's state for a name: closed, open, about to probe, with a
// probe that runs, or with one that came back or is over.
func (f *fixture) breaker(r *rapid.T, queue, name string, ids []int64) {
	kind := rapid.SampledFrom([]string{"none", "none", "closed", "open", "may probe", "probed"}).Draw(r, "breaker of "+name)
	if kind == "none" {
		return
	}
	f.exec(r, "INSERT INTO penstock.breakers (queue, name) VALUES ($1, $2)", queue, name)
	var probe *int64
	var attempt *int
	wait := rapid.SampledFrom([]time.Duration{-time.Second, time.Minute}).Draw(r, "next probe in")
	switch kind {
	case "open":
		wait = time.Minute
	case "may probe":
		wait = -time.Second
	case "probed":
		probe, attempt = ptr(rapid.SampledFrom(ids).Draw(r, "probe")), ptr(rapid.IntRange(1, 3).Draw(r, "probe's attempt"))
	}
	f.open(r, queue, name, kind != "closed", wait, probe, attempt)
}

// open puts a breaker into a state, with its next probe so far ahead.
func (f *fixture) open(t tester, queue, name string, isOpen bool, wait time.Duration, probe *int64, attempt *int) {
	t.Helper()
	f.exec(t, `INSERT INTO penstock.breaker_states
		(queue, name, is_open, changed_at, next_probe_at, probe_job_id, probe_attempt, attempts, failures)
		VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp() + $4::interval, $5, $6, 30, 20)`,
		queue, name, isOpen, wait, probe, attempt)
}
