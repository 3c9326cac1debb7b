package policy_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// open is whether the breaker of a name of queue q is open.
func (f *fixture) open(t testing.TB, name string) bool {
	t.Helper()
	return one[bool](t, f, `SELECT coalesce((SELECT is_open FROM penstock.breaker_states WHERE queue = 'q' AND name = $1), false)`, name)
}

// trip turns a breaker on for one name of queue q and opens it with two failures,
// whose jobs do not come back.
func (f *fixture) trip(t testing.TB, name string) {
	t.Helper()
	require.NoError(t, f.client.Breakers.Set(context.Background(), penstock.Breaker{
		Queue: "q", Name: name, LeastAttempts: 2, CoolDown: penstock.Milliseconds(time.Hour),
	}))
	f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: name, MaxAttempts: 1, Priority: penstock.Weight(100)})
	require.Equal(t, []string{"dead", "dead"}, f.fail(t, "q", f.claim(t, f.register(t), "q", 2)...))
	require.True(t, f.open(t, name))
}

// elapse makes an open breaker's time to probe come, and with it the held-back jobs',
// which keep the distances between them.
func (f *fixture) elapse(t testing.TB, name string) {
	t.Helper()
	f.exec(t, `UPDATE penstock.breaker_states SET next_probe_at = next_probe_at - interval '1 day',
		held_from = held_from - interval '1 day', held_till = held_till - interval '1 day' WHERE queue = 'q' AND name = $1`, name)
	f.exec(t, `UPDATE penstock.pending SET run_at = run_at - interval '1 day' WHERE queue = 'q' AND name = $1 AND run_at > now()`, name)
}

func TestABreakerOpensAtItsShareOfItsLeastAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const ok, bad, silent = "completed", "failed", "snoozed"
	for i, c := range []struct {
		name    string
		breaker penstock.Breaker
		ends    map[string]int
		open    bool
	}{
		{"19 failures are too few to tell", penstock.Breaker{}, map[string]int{bad: 19}, false},
		{"20 are enough", penstock.Breaker{}, map[string]int{bad: 20}, true},
		{"half of 20 is enough", penstock.Breaker{}, map[string]int{ok: 10, bad: 10}, true},
		{"less than half of 20 is not", penstock.Breaker{}, map[string]int{ok: 11, bad: 9}, false},
		{"snoozes say nothing", penstock.Breaker{}, map[string]int{silent: 20, bad: 19}, false},
		{"a stricter share", penstock.Breaker{FailureShare: 1, LeastAttempts: 3}, map[string]int{ok: 1, bad: 9}, false},
		{"all of three", penstock.Breaker{FailureShare: 1, LeastAttempts: 3}, map[string]int{bad: 3}, true},
		{"a laxer share", penstock.Breaker{FailureShare: 0.01, LeastAttempts: 3}, map[string]int{ok: 20, bad: 1}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := fmt.Sprint("n", i)
			c.breaker.Queue, c.breaker.Name = "q", name
			require.NoError(t, f.client.Breakers.Set(t.Context(), c.breaker))
			worker := f.register(t)
			for _, outcome := range []string{ok, silent, bad} {
				if n := c.ends[outcome]; n > 0 {
					f.enqueueN(t, n, penstock.NewJob{Queue: "q", Name: name})
					leases := f.claim(t, worker, "q", n)
					require.Len(t, leases, n)
					f.end(t, "q", outcome, "", time.Hour, leases...)
				}
			}
			require.Equal(t, c.open, f.open(t, name))
		})
	}
}

func TestFailuresOutsideTheSpanAreForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.client.Breakers.Set(t.Context(), penstock.Breaker{Queue: "q", Name: "*", LeastAttempts: 4}))
	worker := f.register(t)
	fail := func(n int) {
		f.enqueueN(t, n, penstock.NewJob{Queue: "q", Name: "n", MaxAttempts: 1})
		f.fail(t, "q", f.claim(t, worker, "q", n)...)
	}
	fail(3)
	f.exec(t, `UPDATE penstock.breaker_tallies SET at = at - interval '31 seconds'`)
	fail(3)
	require.False(t, f.open(t, "n"))
	fail(1)
	require.True(t, f.open(t, "n"))
	require.Equal(t, []int64{4, 4}, column[int64](t, f, `SELECT unnest(ARRAY[attempts, failures]) FROM penstock.breaker_states`))
	f.exec(t, `UPDATE penstock.breaker_tallies SET at = at - interval '1 hour'`)
	require.Equal(t, 3, one[int](t, f, `SELECT penstock.prune_tallies()`), "a tally per batch of ends")
}

func TestHeldBackJobsSpendNoAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.trip(t, "n")
	held := f.enqueueN(t, 5, penstock.NewJob{Queue: "q", Name: "n"})
	for range 3 {
		require.Empty(t, f.claim(t, f.register(t), "q", 10))
	}
	require.Equal(t, []int32{0, 0, 0, 0, 0}, column[int32](t, f, `SELECT attempt + failures + crashes FROM penstock.pending WHERE name = 'n'`))
	require.Zero(t, one[int](t, f, `SELECT count(*) FROM penstock.attempts WHERE job_id = ANY ($1)`, held))
}

func TestExactlyOneProbeAtATimeAmongConcurrentClaims(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.trip(t, "n")
	f.enqueueN(t, 50, penstock.NewJob{Queue: "q", Name: "n", MaxAttempts: 1})
	for round := range 5 {
		f.elapse(t, "n")
		var mu sync.Mutex
		var probes []lease
		var claimers sync.WaitGroup
		for range 8 {
			worker := f.register(t)
			claimers.Go(func() {
				for range 5 {
					leases := f.claim(t, worker, "q", 10)
					mu.Lock()
					probes = append(probes, leases...)
					mu.Unlock()
				}
			})
		}
		claimers.Wait()
		require.Len(t, probes, 1, "round %d", round)
		require.EqualValues(t, 1, probes[0].Attempt)
		f.elapse(t, "n")
		require.Empty(t, f.claim(t, f.register(t), "q", 10), "not while the probe is under way, however late it is")
		require.Equal(t, []string{"dead"}, f.fail(t, "q", probes...))
		require.Empty(t, f.claim(t, f.register(t), "q", 10), "a bad probe keeps it open for another cool-down")
	}
	require.True(t, f.open(t, "n"))
}

func TestAGoodProbeClosesTheBreaker(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.trip(t, "n")
	held := f.enqueueN(t, 3, penstock.NewJob{Queue: "q", Name: "n"})
	f.elapse(t, "n")
	worker := f.register(t)
	probe := f.claim(t, worker, "q", 10)
	require.Equal(t, held[:1], ids(probe))
	require.Empty(t, f.claim(t, worker, "q", 10))
	soon := one[time.Duration](t, f, `SELECT max(run_at) - now() FROM penstock.pending WHERE name = 'n'`)
	require.LessOrEqual(t, soon, 2*time.Second, "while the probe is young, the others are put off by little")
	f.complete(t, "q", probe...)
	require.False(t, f.open(t, "n"))
	f.exec(t, `UPDATE penstock.pending SET run_at = run_at - interval '1 hour'`)
	require.Equal(t, held[1:], ids(f.claim(t, worker, "q", 10)))

	// What failed before it closed counts no more.
	f.enqueueN(t, 1, penstock.NewJob{Queue: "q", Name: "n", MaxAttempts: 1})
	f.fail(t, "q", f.claim(t, worker, "q", 1)...)
	require.False(t, f.open(t, "n"))
}

func TestAProbeIsFoundBehindTheWatermark(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.trip(t, "n")
	held := f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: "n"})
	require.Empty(t, f.claim(t, f.register(t), "q", 10))
	f.elapse(t, "n")
	require.Equal(t, held[:1], column[int64](t, f,
		`SELECT c.job_id FROM penstock.claim('q', $1, 10, since => now(), seen_priorities => '{5}', seen_run_ats => ARRAY[now()],
			seen_ids => '{1}') c`, f.register(t)))
}

func TestSuccessesThatStartedBeforeDoNotCloseIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueueN(t, 1, penstock.NewJob{Queue: "q", Name: "n"})
	early := f.claim(t, f.register(t), "q", 1)
	f.trip(t, "n")
	f.complete(t, "q", early...)
	require.True(t, f.open(t, "n"))
}

func TestAProbeLostWithItsWorkerLetsAnotherGoLater(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.trip(t, "n")
	held := f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: "n"})
	f.elapse(t, "n")
	worker := f.register(t)
	require.Equal(t, held[:1], ids(f.claim(t, worker, "q", 10)))
	require.Equal(t, 1, one[int](t, f, `SELECT penstock.bury($1, 0)`, worker))
	require.True(t, f.open(t, "n"), "a lost probe says nothing")
	require.Empty(t, f.claim(t, f.register(t), "q", 10), "not before the next one is due")
	f.elapse(t, "n")
	probe := f.claim(t, f.register(t), "q", 10)
	require.Len(t, probe, 1)
	f.complete(t, "q", probe...)
	require.False(t, f.open(t, "n"))
}

func TestOtherNamesFlowPastThousandsOfHeldBackJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.trip(t, "bad")
	f.enqueueN(t, 8000, penstock.NewJob{Queue: "q", Name: "bad"})
	good := f.enqueueN(t, 30, penstock.NewJob{Queue: "q", Name: "good"})
	f.enqueueN(t, 8000, penstock.NewJob{Queue: "q", Name: "bad"})
	good = append(good, f.enqueueN(t, 30, penstock.NewJob{Queue: "q", Name: "good"})...)
	worker := f.register(t)
	var got []int64
	for range 6 {
		leases := f.claim(t, worker, "q", 10)
		require.Len(t, leases, 10)
		got = append(got, ids(leases)...)
	}
	require.Equal(t, good, got)
	require.Zero(t, one[int](t, f, `SELECT count(*) FROM penstock.pending WHERE name = 'bad' AND run_at <= now()`),
		"what is held back stands at nobody's head")
}

func TestHeldBackJobsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.trip(t, "n")
	worker := f.register(t)
	want := map[int][]int64{}
	wave := func(n int) {
		for _, weight := range []int{5, 20} {
			want[weight] = append(want[weight], f.enqueueN(t, n, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Weight(weight)})...)
		}
		require.Empty(t, f.claim(t, worker, "q", 10))
	}
	wave(2500) // more than are put off at once
	wave(10)
	for range 3 {
		// Time comes for a probe, which fails; the others are put off again while
		// more arrive before, during and after it.
		f.enqueueN(t, 1, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Weight(50), MaxAttempts: 1})
		wave(5)
		f.elapse(t, "n")
		probe := f.claim(t, worker, "q", 10)
		require.Len(t, probe, 1)
		wave(5)
		f.fail(t, "q", probe...)
		wave(5)
	}
	f.exec(t, `UPDATE penstock.pending SET run_at = run_at - interval '1 day' WHERE job_id = ANY ($1)`, append(want[5], want[20]...))
	f.exec(t, `UPDATE penstock.breaker_states SET is_open = false`)
	var got []int64
	for {
		leases := f.claim(t, worker, "q", 1000)
		if len(leases) == 0 {
			break
		}
		got = append(got, ids(leases)...)
	}
	require.Equal(t, slices.Concat(want[20], want[5]), got)
}

func TestTwoWorkersAgreeAboutABreaker(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.client.Breakers.Set(t.Context(), penstock.Breaker{
		Queue: "q", Name: "n", LeastAttempts: 4, CoolDown: penstock.Milliseconds(time.Hour),
	}))
	started, verdict := make(chan int64, 1000), make(chan error, 1000)
	for range 2 {
		f.work(t, "q", func(w *penstock.Worker) {
			penstock.Handle(w, "q", "n", func(ctx context.Context, job *penstock.Job[any]) error {
				started <- job.ID
				select {
				case err := <-verdict:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			penstock.Handle(w, "q", "other", func(context.Context, *penstock.Job[any]) error { return nil })
		})
	}
	f.enqueueN(t, 4, penstock.NewJob{Queue: "q", Name: "n", MaxAttempts: 1})
	for range 4 {
		next(t, started)
	}
	for range 4 { // at once, on both: the last one sees them all
		verdict <- errOops
	}
	for range 4 {
		require.Equal(t, "dead", f.nextEnd(t).State)
	}
	require.True(t, f.open(t, "n"))

	// While it is open, others run on both and the name runs on neither.
	f.enqueueN(t, 10, penstock.NewJob{Queue: "q", Name: "n"})
	f.enqueueN(t, 50, penstock.NewJob{Queue: "q", Name: "other"})
	for range 50 {
		require.Equal(t, "other", f.nextEnd(t).Name)
	}
	require.Empty(t, started)

	// One probe; when it succeeds, all of them.
	f.elapse(t, "n")
	f.enqueueN(t, 1, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Weight(50)}) // wakes a fetcher
	next(t, started)
	f.enqueueN(t, 50, penstock.NewJob{Queue: "q", Name: "other"})
	for range 50 {
		require.Equal(t, "other", f.nextEnd(t).Name)
	}
	require.Empty(t, started)
	verdict <- nil
	require.Equal(t, penstock.Completed, penstock.State(f.nextEnd(t).State))
	for range 10 {
		next(t, started)
		verdict <- nil
	}
	for range 10 {
		require.Equal(t, "completed", f.nextEnd(t).State)
	}
	require.False(t, f.open(t, "n"))
}

func TestABreakerOfEachNameKeepsThemApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	require.NoError(t, f.client.Breakers.Set(ctx, penstock.Breaker{Queue: "q", Name: "*", LeastAttempts: 2}))
	require.NoError(t, f.client.Breakers.Set(ctx, penstock.Breaker{Queue: "q", Name: "tough", LeastAttempts: 3}))
	worker := f.register(t)
	for _, name := range []string{"a", "b", "tough"} {
		f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: name, MaxAttempts: 1})
		leases := f.claim(t, worker, "q", 2)
		if name == "b" {
			f.complete(t, "q", leases...)
			continue
		}
		f.fail(t, "q", leases...)
	}
	require.True(t, f.open(t, "a"))
	require.False(t, f.open(t, "b"))
	require.False(t, f.open(t, "tough"), "its own row comes before the one for any name")

	breakers, err := f.client.Breakers.List(ctx, "q")
	require.NoError(t, err)
	require.Equal(t, []string{"*", "tough"}, []string{breakers.Settings[0].Name, breakers.Settings[1].Name})
	states := breakers.States
	require.Len(t, states, 1)
	require.Equal(t, "a", states[0].Name)
	require.EqualValues(t, 2, states[0].Failures)
	require.NotNil(t, states[0].NextProbeAt)

	require.NoError(t, f.client.Breakers.Remove(ctx, "q", "*"))
	require.False(t, f.open(t, "a"))
	f.enqueue(t, penstock.NewJob{Queue: "q", Name: "a"})
	require.Len(t, f.claim(t, worker, "q", 1), 1)
}

func TestBreakersThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		name    string
		breaker penstock.Breaker
		says    string
	}{
		{"more than all", penstock.Breaker{FailureShare: 1.1}, "failure_share must be above 0 and at most 1"},
		{"less than none", penstock.Breaker{FailureShare: -1}, "failure_share"},
		{"attempts below one", penstock.Breaker{LeastAttempts: -1}, "least_attempts must be 1 to 100000"},
		{"a span of nothing", penstock.Breaker{Span: 1}, "span must be 1 second to 1 hour"},
		{"a cool-down of a week", penstock.Breaker{CoolDown: penstock.Milliseconds(7 * 24 * time.Hour)}, "cool_down must be 1 second to 1 day"},
		{"a name that cannot be", penstock.Breaker{Name: "a b"}, "name must be"},
	} {
		c.breaker.Queue = "q"
		if c.breaker.Name == "" {
			c.breaker.Name = "*"
		}
		err := f.client.Breakers.Set(t.Context(), c.breaker)
		require.ErrorIs(t, err, penstock.ErrInvalidArgument, c.name)
		require.ErrorContains(t, err, c.says, c.name)
	}
}
