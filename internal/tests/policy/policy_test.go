package policy_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func TestTheShippedPoliciesAreTheSeeds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		queue    string
		strategy penstock.Strategy
		attempts int
		delay    time.Duration
		most     time.Duration
	}{
		{"deploy-contract", penstock.Exponential, 5, 5 * time.Second, 5 * time.Minute},
		{"process-tts", penstock.Exponential, 3, 2 * time.Second, time.Minute},
		{"index-market-news", penstock.Linear, 7, 10 * time.Second, 2 * time.Minute},
		{"any-other", penstock.Exponential, 5, time.Second, time.Hour},
	} {
		p, err := f.client.Policies.Get(t.Context(), c.queue, "*", nil)
		require.NoError(t, err)
		require.Equal(t, c.strategy, *p.Strategy, c.queue)
		require.Equal(t, c.attempts, *p.MaxAttempts, c.queue)
		require.Equal(t, penstock.Milliseconds(c.delay), *p.Delay, c.queue)
		require.Equal(t, penstock.Milliseconds(c.most), *p.MaxDelay, c.queue)
		require.Equal(t, []string{"ValidationError", "AuthenticationError", "AuthorizationError", "NotFoundError", "InvalidArgumentError"}, p.NonRetryable)
	}
}

func TestWhatAJobDidNotBringComesFromItsPolicy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.policy(t, "q", "*", `{"type": "linear", "delay": 60000, "maxDelay": 150000, "maxAttempts": 4, "jitter": 0}`)
	f.policy(t, "q", "named", `{"delay": 20000}`)
	for _, c := range []struct {
		name, job string
		retry     *penstock.RetryStrategy
		waits     []time.Duration
	}{
		{"a job that brings nothing", "plain", nil, []time.Duration{time.Minute, 2 * time.Minute, 150 * time.Second}},
		{"a name's row comes before the queue's", "named", nil, []time.Duration{20 * time.Second, 40 * time.Second, time.Minute}},
		{
			"a type alone keeps the policy's delay", "plain",
			&penstock.RetryStrategy{Type: penstock.Fixed},
			[]time.Duration{time.Minute, time.Minute, time.Minute},
		},
		{
			"a delay alone keeps the policy's type and cap", "plain",
			&penstock.RetryStrategy{Delay: 100 * time.Second},
			[]time.Duration{100 * time.Second, 150 * time.Second, 150 * time.Second},
		},
		{
			"a type that the policy has no multiplier for takes the one of every queue", "plain",
			&penstock.RetryStrategy{Type: penstock.Exponential, Delay: time.Second},
			[]time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
		},
		{"attempts of its own", "plain", &penstock.RetryStrategy{MaxAttempts: 2}, []time.Duration{time.Minute}},
		{"no delay is no delay", "plain", &penstock.RetryStrategy{Delay: penstock.NoDelay}, []time.Duration{0, 0, 0}},
		{"a cap of nothing too", "plain", &penstock.RetryStrategy{MaxDelay: penstock.NoDelay}, []time.Duration{0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := f.enqueue(t, penstock.NewJob{Queue: "q", Name: c.job, Retry: c.retry})
			for n, want := range c.waits {
				state, wait := f.failNext(t, "q", "Oops")
				require.Equal(t, "retrying", state)
				require.Equal(t, want, wait, "after failure %d", n+1)
			}
			state, _ := f.failNext(t, "q", "Oops")
			require.Equal(t, "dead", state)
			require.Equal(t, "exhausted", one[string](t, f, `SELECT reason FROM penstock.dead_jobs WHERE job_id = $1`, id))
		})
	}
}

func TestAChangedPolicyHoldsAtOnceButNotForWhatAJobBrought(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.policy(t, "q", "*", `{"type": "fixed", "delay": 1000, "maxAttempts": 9, "jitter": 0}`)
	f.policy(t, "own", "*", `{"type": "fixed", "delay": 1000, "maxAttempts": 9, "jitter": 0}`)
	f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n"})
	f.enqueue(t, penstock.NewJob{Queue: "own", Name: "n", Retry: &penstock.RetryStrategy{Delay: 5 * time.Second, MaxAttempts: 3}})
	_, wait := f.failNext(t, "q", "Oops")
	require.Equal(t, time.Second, wait)
	_, wait = f.failNext(t, "own", "Oops")
	require.Equal(t, 5*time.Second, wait)

	for _, queue := range []string{"q", "own"} {
		require.NoError(t, f.client.Policies.Set(t.Context(), penstock.Policy{
			Queue: queue, Name: "*", Delay: ptr(penstock.Milliseconds(time.Minute)), Strategy: ptr(penstock.Linear), MaxAttempts: ptr(2),
		}))
	}
	state, wait := f.failNext(t, "own", "Oops")
	require.Equal(t, "retrying", state, "its own 3 attempts stand")
	require.Equal(t, 10*time.Second, wait, "its own 5 s, by the policy's new strategy")
	state, _ = f.failNext(t, "q", "Oops")
	require.Equal(t, "dead", state, "the 2 attempts of the policy are spent")
}

func TestFieldsArePutAndTakenBackOneByOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	set := func(p penstock.Policy, reset ...string) {
		p.Queue, p.Name = "deploy-contract", "deploy"
		require.NoError(t, f.client.Policies.Set(ctx, p, reset...))
	}
	row := func() penstock.Policy {
		all, err := f.client.Policies.List(ctx)
		require.NoError(t, err)
		for _, p := range all {
			if p.Name == "deploy" {
				return p
			}
		}
		return penstock.Policy{}
	}
	set(penstock.Policy{Jitter: ptr(0.0), NonRetryable: []string{"Fatal*"}})
	set(penstock.Policy{MaxAttempts: ptr(8), Delay: ptr(penstock.Milliseconds(0))})
	require.Equal(t, penstock.Policy{
		Queue: "deploy-contract", Name: "deploy", Jitter: ptr(0.0), MaxAttempts: ptr(8), Delay: ptr(penstock.Milliseconds(0)),
		NonRetryable: []string{"Fatal*"},
	}, row())

	effective, err := f.client.Policies.Get(ctx, "deploy-contract", "deploy", &penstock.RetryStrategy{MaxDelay: time.Second})
	require.NoError(t, err)
	require.Equal(t, penstock.Policy{
		Queue: "deploy-contract", Name: "deploy", Strategy: ptr(penstock.Exponential), Delay: ptr(penstock.Milliseconds(0)),
		Multiplier: ptr(2.0), MaxDelay: ptr(penstock.Milliseconds(time.Second)), MaxAttempts: ptr(8), Jitter: ptr(0.0),
		NonRetryable: []string{"Fatal*"}, Retryable: []string{},
	}, effective)

	set(penstock.Policy{NonRetryable: []string{}}, "delay", "jitter")
	require.Equal(t, penstock.Policy{Queue: "deploy-contract", Name: "deploy", MaxAttempts: ptr(8), NonRetryable: []string{}}, row())
	require.NoError(t, f.client.Policies.Remove(ctx, "deploy-contract", "deploy"))
	require.Equal(t, penstock.Policy{}, row())
	effective, err = f.client.Policies.Get(ctx, "deploy-contract", "deploy", nil)
	require.NoError(t, err)
	require.Equal(t, 5, *effective.MaxAttempts, "the queue's row serves again")
}

func TestPoliciesThatCannotBeAreRefusedByTheNameOfTheField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct{ name, queue, job, policy, says string }{
		{"a strategy that is none", "q", "*", `{"type": "sometimes"}`, "retry.type must be exponential, linear, fixed or custom, got sometimes"},
		{"a delay beyond a year", "q", "*", `{"delay": 31622400001}`, "retry.delay must be milliseconds from 0 to 31622400000"},
		{"a negative cap", "q", "*", `{"maxDelay": -1}`, "retry.maxDelay must be milliseconds from 0"},
		{"no attempts at all", "q", "*", `{"maxAttempts": 0}`, "retry.maxAttempts must be a whole number from 1 to 100, got 0"},
		{"half an attempt", "q", "*", `{"maxAttempts": 1.5}`, "retry.maxAttempts must be a whole number"},
		{"a delay that shrinks", "q", "*", `{"backoffMultiplier": 0.5}`, "retry.backoffMultiplier must be a number from 1 to 1000"},
		{"jitter beyond the delay", "q", "*", `{"jitter": 1.1}`, "retry.jitter must be a number from 0 to 1"},
		{"a number as text", "q", "*", `{"delay": "5s"}`, "retry.delay must be milliseconds"},
		{"a field that does not exist", "q", "*", `{"tries": 3}`, "got tries"},
		{"a field to reset that does not exist", "q", "*", `{"tries": null}`, "got tries"},
		{"classes that are no list", "q", "*", `{"nonRetryable": "Fatal"}`, "policy.nonRetryable must be a list"},
		{"a class that is no text", "q", "*", `{"retryable": [1]}`, "policy.retryable must be a list"},
		{"a class of nothing", "q", "*", `{"retryable": [""]}`, "policy.retryable must be a list"},
		{"a policy that is no object", "q", "*", `[]`, "policy must be a JSON object"},
		{"a name for every queue", "*", "n", `{}`, "name must be * when the queue is"},
		{"nothing to fall back on", "*", "*", `{"delay": null}`, "there is nothing broader"},
		{"a queue that cannot be", "no spaces", "*", `{}`, "queue must be 1 to 128"},
		{"a name that cannot be", "q", "a b", `{}`, "name must be 1 to 128"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.Pool.Exec(t.Context(), `SELECT penstock.set_policy($1, $2, $3)`, c.queue, c.job, json.RawMessage(c.policy))
			requireRefused(t, err, c.says)
		})
	}
	require.ErrorContains(t, f.client.Policies.Remove(t.Context(), "*", "*"), "what the others fall back on")
	err := f.client.Policies.Set(t.Context(), penstock.Policy{Queue: "q", Name: "*", Delay: ptr(penstock.Milliseconds(1))}, "delay")
	require.ErrorIs(t, err, penstock.ErrInvalidArgument, "set and reset at once")
	require.Empty(t, column[string](t, f, `SELECT queue FROM penstock.retry_policies WHERE queue = 'q'`), "a refusal changes nothing")
}

func TestAPreviewIsTheScheduleThatAFailingJobSees(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	schedule, err := f.client.Policies.Preview(t.Context(), "deploy-contract", "deploy", &penstock.RetryStrategy{MaxDelay: 15 * time.Second})
	require.NoError(t, err)
	ms := func(seconds float64) penstock.Milliseconds {
		return penstock.Milliseconds(seconds * float64(time.Second))
	}
	require.Equal(t, []penstock.RetryPreview{
		{Failures: 1, Least: ms(4.5), Usual: ms(5), Most: ms(5.5), UsualTotal: ms(5)},
		{Failures: 2, Least: ms(9), Usual: ms(10), Most: ms(11), UsualTotal: ms(15)},
		{Failures: 3, Least: ms(13.5), Usual: ms(15), Most: ms(15), UsualTotal: ms(30)},
		{Failures: 4, Least: ms(13.5), Usual: ms(15), Most: ms(15), UsualTotal: ms(45)},
	}, schedule)
	schedule, err = f.client.Policies.Preview(t.Context(), "q", "n", &penstock.RetryStrategy{MaxAttempts: 1})
	require.NoError(t, err)
	require.Empty(t, schedule, "the only attempt is not retried")
	_, err = f.client.Policies.Preview(t.Context(), "q", "n", &penstock.RetryStrategy{Type: "sometimes"})
	require.ErrorIs(t, err, penstock.ErrInvalidArgument)
}

func TestAStrategyKeepsItsZerosThroughJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       penstock.RetryStrategy
	}{
		{"nothing is the policy's", `{}`, penstock.RetryStrategy{}},
		{"0 is no delay", `{"delay":0}`, penstock.RetryStrategy{Delay: penstock.NoDelay}},
		{"and no cap above nothing", `{"maxDelay":0}`, penstock.RetryStrategy{MaxDelay: penstock.NoDelay}},
		{"no jitter", `{"jitter":0}`, penstock.RetryStrategy{Jitter: ptr(0.0)}},
		{
			"the seed's", `{"type":"exponential","delay":2000,"maxAttempts":5,"backoffMultiplier":2,"maxDelay":300000}`,
			penstock.RetryStrategy{
				Type: penstock.Exponential, Delay: 2 * time.Second, MaxAttempts: 5, Multiplier: 2, MaxDelay: 5 * time.Minute,
			},
		},
	} {
		var got penstock.RetryStrategy
		require.NoError(t, json.Unmarshal([]byte(c.text), &got), c.name)
		require.Equal(t, c.want, got, c.name)
		text, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, c.text, string(text), c.name)
	}
	for _, text := range []string{`{"maxAttempts":0}`, `{"backoffMultiplier":0}`, `{"type":""}`} {
		err := json.Unmarshal([]byte(text), new(penstock.RetryStrategy))
		require.ErrorIs(t, err, penstock.ErrInvalidArgument, text)
	}
}

// requireRefused demands an argument error of the database that says so.
func requireRefused(t *testing.T, err error, says string) {
	t.Helper()
	var pg interface{ SQLState() string }
	require.True(t, errors.As(err, &pg), "%v", err)
	require.Equal(t, "PN400", pg.SQLState(), "%v", err)
	require.ErrorContains(t, err, says)
}

var errOops = errors.New("oops")

func TestACustomPolicyWithoutAFunctionIsRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.policy(t, "q", "odd", `{"type": "custom"}`)
	build := func(opts ...penstock.HandleOption) *penstock.Worker {
		w, err := penstock.NewWorker(f.client, penstock.WorkerConfig{
			Queues: map[string]penstock.QueueConfig{"q": {}}, StopWhenDrained: true,
		})
		require.NoError(t, err)
		penstock.Handle(w, "q", "odd", func(context.Context, *penstock.Job[any]) error { return errOops }, opts...)
		penstock.Handle(w, "q", "even", func(context.Context, *penstock.Job[any]) error { return nil })
		return w
	}
	err := build().Run(t.Context())
	require.ErrorContains(t, err, "the retry policy of q/odd is custom, but its handler has no function")
	require.ErrorContains(t, err, "CustomRetry")
	require.ErrorContains(t, err, "penstock policy set")
	require.NoError(t, build(penstock.CustomRetry(func(int, error) time.Duration { return 0 })).Run(t.Context()))
}

func TestACustomFunctionDecidesTheDelay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.policy(t, "q", "*", `{"type": "custom", "delay": 90000, "jitter": 0, "maxAttempts": 4}`)
	type call struct {
		failures int
		err      error
	}
	calls := make(chan call, 10)
	f.work(t, "q", func(w *penstock.Worker) {
		penstock.Handle(w, "q", "n", func(_ context.Context, job *penstock.Job[string]) error {
			if job.Data == "in" {
				return penstock.RetryIn(2*time.Hour, errOops)
			}
			return errOops
		}, penstock.CustomRetry(func(failures int, err error) time.Duration {
			calls <- call{failures, err}
			if failures > 1 {
				return -1
			}
			return 3 * time.Hour
		}))
	})
	id := f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Data: "plain"})
	require.Equal(t, "retrying", f.nextEnd(t).State)
	require.Equal(t, call{1, errOops}, next(t, calls))
	require.Equal(t, 3*time.Hour, f.wait(t, id), "the function's word")

	f.exec(t, `UPDATE penstock.pending SET run_at = now() WHERE job_id = $1`, id)
	require.Equal(t, "retrying", f.nextEnd(t).State)
	require.Equal(t, call{2, errOops}, next(t, calls))
	require.Equal(t, 90*time.Second, f.wait(t, id), "a negative one leaves it to the policy's delay")

	id = f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Data: "in"})
	require.Equal(t, "retrying", f.nextEnd(t).State)
	require.Equal(t, 2*time.Hour, f.wait(t, id), "RetryIn comes before the function")
	require.Empty(t, calls)
}

func TestRetryInCountsAgainstMaxAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work(t, "q", func(w *penstock.Worker) {
		penstock.Handle(w, "q", "n", func(context.Context, *penstock.Job[any]) error { return penstock.RetryIn(0, errOops) })
	})
	f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", MaxAttempts: 3})
	states := map[int]string{} // of attempts, which may be reported out of order
	for range 3 {
		e := f.nextEnd(t)
		states[e.Attempt] = e.State
	}
	require.Equal(t, map[int]string{1: "retrying", 2: "retrying", 3: "dead"}, states)
}

func TestOtherLanguagesGiveTheDelayWithTheFailure(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Retry: &penstock.RetryStrategy{Type: penstock.Custom}})
	leases := f.claim(t, f.register(t), "q", 1)
	require.Equal(t, []string{"retrying"}, f.end(t, "q", "failed", "Oops", 12*time.Hour, leases...))
	require.Equal(t, 12*time.Hour, f.wait(t, id))
}

func TestAttemptsOf3Point0AreThreeAndJamNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `SELECT penstock.enqueue('q', 'n', retry => '{"maxAttempts": 2.0, "delay": 1e-400, "jitter": 0.0}')`)
	state, wait := f.failNext(t, "q", "Oops")
	require.Equal(t, "retrying", state)
	require.Zero(t, wait)
	state, _ = f.failNext(t, "q", "Oops")
	require.Equal(t, "dead", state)
}
