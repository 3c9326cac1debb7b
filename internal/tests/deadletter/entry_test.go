package deadletter_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestAnEntryHasEveryFieldOfTheDeadLetterQueueItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	jitter := 0.0
	id := f.enqueue(t, penstock.NewJob{
		Name: "deploy", Data: map[string]string{"contract": "c1"}, Tags: []string{"urgent"}, Priority: penstock.Weight(30),
		MaxAttempts: 2, Timeout: time.Minute,
		Retry: &penstock.RetryStrategy{
			Type: penstock.Linear, Delay: penstock.NoDelay, Multiplier: 3, MaxDelay: 90 * time.Second, Jitter: &jitter,
		},
	})
	for _, word := range []death{
		{outcome: "failed", class: "FirstError", message: "gas 7 too low"},
		{outcome: "failed", class: "LastError", message: "gas 9 too low"},
	} {
		require.Equal(t, []int64{id}, f.claim(t, "q", 1))
		f.end(t, "q", []int64{id}, []death{word})
	}

	entryID := "dlq_" + entry(id)[4:len(entry(id))-1] + "2"
	d, err := f.client.DLQ.Get(t.Context(), "q", entryID)
	require.NoError(t, err)
	page, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{Queue: "q"})
	require.NoError(t, err)
	require.Equal(t, []penstock.DeadJob{d}, page.Items, "listed as it is shown")
	require.Empty(t, page.Next)

	require.WithinDuration(t, time.Now(), d.FailedAt, patience)
	require.WithinDuration(t, d.FailedAt.Add(time.Hour), *d.NextRetryAt, time.Millisecond, "the shipped policy: an hour")
	require.False(t, d.EnqueuedAt.After(d.FailedAt))
	require.NotEmpty(t, d.Fingerprint)
	d.FailedAt, d.EnqueuedAt, d.NextRetryAt, d.Fingerprint = time.Time{}, time.Time{}, nil, ""
	require.Equal(t, penstock.DeadJob{
		ID: entryID, JobID: id, Queue: "q", Name: "deploy", Data: json.RawMessage(`{"contract": "c1"}`),
		Tags: []string{"urgent"}, Priority: 30, Reason: "exhausted", ErrorClass: "LastError", Error: "gas 9 too low",
		FirstError: "FirstError: gas 7 too low", Attempts: 2, Failures: 2, MaxAttempts: 2, CanRetry: true,
		RetryStrategy: penstock.RetryStrategy{
			Type: penstock.Linear, Delay: penstock.NoDelay, Multiplier: 3, MaxDelay: 90 * time.Second, MaxAttempts: 2, Jitter: &jitter,
		},
		HandlerVersion: "v7",
	}, d)
}

func TestAnEntryIsWrittenWithTheNamesOfTheDocument(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, death{outcome: "failed", NewJob: penstock.NewJob{MaxAttempts: 1}})
	page, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{})
	require.NoError(t, err)
	text, err := json.Marshal(page.Items[0])
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields))
	for _, name := range []string{
		"id", "name", "data", "error", "attempts", "maxAttempts", "failedAt", "queueName", "retryStrategy", "canRetry", "nextRetryAt",
	} {
		require.Contains(t, fields, name)
	}
	for _, name := range []string{"type", "delay", "maxAttempts", "backoffMultiplier", "maxDelay"} {
		require.Contains(t, fields["retryStrategy"], name, "in milliseconds, as it was in force")
	}
}

func TestAJobDiesForEachReasonAWorkerOrTheDatabaseGives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		death    death
		lost     int // times its worker dies first
		reason   string
		canRetry bool
	}{
		{"its attempts are spent", death{outcome: "failed", class: "IOError"}, 0, "exhausted", true},
		{"the handler says so", death{outcome: "dead", class: "IOError"}, 0, "non_retryable", false},
		{"the policy knows its class", death{outcome: "failed", class: "ValidationError"}, 0, "non_retryable", false},
		{"its last attempt ran into the timeout", death{outcome: "failed", class: "Timeout"}, 0, "timeout", true},
		{"it took three workers with it", death{}, 3, "crash_loop", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.enqueue(t, penstock.NewJob{MaxAttempts: 1})
			for range c.lost {
				crashed := ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['q'], version => 'v8')")
				require.Equal(t, id, ask[int64](t, f, "SELECT job_id FROM penstock.claim('q', $1, 1)", crashed))
				require.Equal(t, 1, ask[int](t, f, "SELECT penstock.bury($1, 0)", crashed))
			}
			if c.lost == 0 {
				f.claim(t, "q", 1)
				f.end(t, "q", []int64{id}, []death{c.death})
			}
			page, err := f.client.DLQ.List(t.Context(), penstock.DeadQuery{Queue: "q"})
			require.NoError(t, err)
			require.Len(t, page.Items, 1)
			d := page.Items[0]
			require.Equal(t, c.reason, d.Reason)
			require.Equal(t, c.canRetry, d.CanRetry)
			require.Equal(t, c.canRetry, d.NextRetryAt != nil, "what no retry mends is not scheduled for one")
			require.Equal(t, c.lost, d.Crashes)
			require.Equal(t, map[bool]string{true: "v8", false: "v7"}[c.lost > 0], d.HandlerVersion, "of the handler it died in")
			require.Equal(t, penstock.DeadState, f.state(t, id))
		})
	}
}

func TestAHandlersVersionIsWhatItsWorkerStates(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work(t, penstock.WorkerConfig{Version: "2026-07-01"}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "deploy", func(context.Context, *penstock.Job[struct{}]) error {
			return penstock.Dead(errors.New("no such contract"))
		})
	})
	id := f.enqueue(t, penstock.NewJob{})
	done, err := f.client.Wait(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, penstock.DeadState, done.State)
	d, err := f.client.DLQ.Get(t.Context(), "q", entry(id))
	require.NoError(t, err)
	require.Equal(t, "2026-07-01", d.HandlerVersion)
	require.Equal(t, "no such contract", d.Error)
}

func TestCancelledAndExpiredJobsAreNotEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expired := f.enqueue(t, penstock.NewJob{ExpiresIn: time.Hour})
	cancelled := f.enqueue(t, penstock.NewJob{Delay: time.Hour})
	f.exec(t, "UPDATE penstock.pending SET expires_at = clock_timestamp() WHERE job_id = $1", expired)
	require.Equal(t, 1, ask[int](t, f, "SELECT penstock.expire_jobs()"))
	result, err := f.client.Cancel(t.Context(), cancelled)
	require.NoError(t, err)
	require.Equal(t, penstock.CancelDone, result)

	require.Equal(t, penstock.Expired, f.state(t, expired))
	require.Equal(t, penstock.Cancelled, f.state(t, cancelled))
	require.Empty(t, f.dead(t, penstock.DeadQuery{}))
	_, err = f.client.DLQ.RedriveJob(t.Context(), "q", entry(expired), nil)
	require.ErrorIs(t, err, penstock.ErrDeadJobNotFound)
}

func TestAnEntryThatNeverWasIsNotFoundAndOneThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.kill(t, death{})[0]
	for _, unknown := range []struct{ queue, entry string }{
		{"q", "dlq_17_1"}, {"q", entry(id)[:len(entry(id))-1] + "2"}, {"other", entry(id)},
	} {
		_, err := f.client.DLQ.Get(t.Context(), unknown.queue, unknown.entry)
		require.ErrorIs(t, err, penstock.ErrDeadJobNotFound, unknown)
		_, err = f.client.DLQ.RedriveJob(t.Context(), unknown.queue, unknown.entry, nil)
		require.ErrorIs(t, err, penstock.ErrDeadJobNotFound, unknown)
	}
	for _, odd := range []string{"", "17", "dlq_17", "dlq_a_1", "dlq_1_2_3", "dlq_9999999999999999999_1", "dlq_1_99999999999", "dlq_1_1\n"} {
		_, err := f.client.DLQ.Get(t.Context(), "q", odd)
		refused(t, err, "entry", "dlq_<job>_<attempt>")
		_, err = f.client.DLQ.RedriveJob(t.Context(), "q", odd, nil)
		refused(t, err, "entry", "dlq_<job>_<attempt>")
	}
	require.Equal(t, penstock.DeadState, f.state(t, id), "nothing changed")
}
