package penstock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// brokenError panics wherever somebody reads it.
type brokenError struct{ where string }

func (e *brokenError) Error() string { return e.panicsIn("Error") }

func (e *brokenError) ErrorClass() string { return e.panicsIn("ErrorClass") }

func (e *brokenError) Unwrap() error {
	e.panicsIn("Unwrap")
	return nil
}

func (e *brokenError) panicsIn(method string) string {
	if e.where == method { // a nil pointer panics here
		panic(method + " is broken")
	}
	return "fine"
}

// What a handler returns may be anything: reading it never ends the worker, and the
// attempt counts as failed (P3).
func TestAnErrorThatCannotBeReadIsAFailureOfItsAttempt(t *testing.T) {
	t.Parallel()
	var typedNil *brokenError
	for name, c := range map[string]struct {
		err            error
		class, message string
		dead           bool
	}{
		"Dead without an error":    {penstock.Dead(nil), "Unspecified", "no error was given", true},
		"RetryIn without an error": {penstock.RetryIn(time.Second, nil), "Unspecified", "no error was given", false},
		"a typed nil":              {typedNil, "Panic", "nil pointer", false},
		"a wrapped typed nil":      {penstock.Dead(typedNil), "Panic", "nil pointer", false},
		"Error panics":             {&brokenError{"Error"}, "Panic", "Error is broken", false},
		"ErrorClass panics":        {&brokenError{"ErrorClass"}, "Panic", "ErrorClass is broken", false},
		"Unwrap panics":            {&brokenError{"Unwrap"}, "Panic", "Unwrap is broken", false},
	} {
		t.Run(name, func(t *testing.T) {
			event, err := penstock.Try(t.Context(), func(context.Context, *penstock.Job[int]) error { return c.err },
				penstock.Job[int]{Queue: "q", Name: "n", Attempt: 1})
			require.NoError(t, err)
			require.Equal(t, c.dead, event.Outcome == penstock.OutcomeDead)
			require.Equal(t, !c.dead, event.Outcome == penstock.OutcomeFailed)
			require.Equal(t, c.class, event.ErrorClass)
			require.Contains(t, event.Message, c.message)
		})
	}
}

func TestAPanicOfCustomRetryLeavesTheDelayToThePolicy(t *testing.T) {
	t.Parallel()
	event, err := penstock.Try(t.Context(), func(context.Context, *penstock.Job[int]) error { return errors.New("down") },
		penstock.Job[int]{Queue: "q", Name: "n", Attempt: 1},
		penstock.CustomRetry(func(int, error) time.Duration { panic("no idea") }))
	require.NoError(t, err)
	require.Equal(t, penstock.OutcomeFailed, event.Outcome)
	require.Zero(t, event.Delay)
	require.Contains(t, event.Message, "down (CustomRetry: panic: no idea)")
}

func TestAPanicOfAHookEndsNoWorker(t *testing.T) {
	t.Parallel()
	broken := penstock.Hooks{
		Started: func(penstock.StartEvent) { panic("started") },
		Ended:   func(penstock.EndEvent) { panic("ended") },
		Claimed: func(penstock.ClaimEvent) { panic("claimed") },
		Flushed: func(penstock.FlushEvent) { panic("flushed") },
		Beaten:  func(penstock.BeatEvent) { panic("beaten") },
	}
	f := newFixture(t)
	client, err := penstock.NewClient(f.Pool, penstock.Config{Hooks: broken})
	require.NoError(t, err)
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"q": {}}, StopWhenDrained: true,
	})
	require.NoError(t, err)
	ran := 0
	penstock.Handle(worker, "q", "n", func(context.Context, *penstock.Job[int]) error { ran++; return nil })
	id, err := client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "n", Data: 1})
	require.NoError(t, err)
	require.NoError(t, worker.Run(t.Context()))
	require.Equal(t, 1, ran)
	job, err := client.Job(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, penstock.Completed, job.State)
}

func TestHandleRefusesANilHandler(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	client, err := penstock.NewClient(f.Pool, penstock.Config{})
	require.NoError(t, err)
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {}}})
	require.NoError(t, err)
	require.PanicsWithValue(t, `penstock: Handle("q", "n"): the handler is nil`, func() {
		penstock.Handle[int](worker, "q", "n", nil)
	})
}
