package sqltest_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// The policy rows that a newly migrated database has.
func TestShippedRetryPolicies(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, c := range []struct{ queue, policy string }{
		{"deploy-contract", "exponential ×2, 5 runs, 00:00:05 up to 00:05:00"},
		{"process-tts", "exponential ×2, 3 runs, 00:00:02 up to 00:01:00"},
		{"index-market-news", "linear ×2, 7 runs, 00:00:10 up to 00:02:00"},
		{"any other", "exponential ×2, 5 runs, 00:00:01 up to 01:00:00"},
	} {
		t.Run(c.queue, func(t *testing.T) {
			require.Equal(t, c.policy, one[string](t, db.Pool, `SELECT format('%s ×%s, %s runs, %s up to %s', strategy, multiplier,
				max_attempts, delay, max_delay) FROM penstock.effective_policy($1, 'n')`, c.queue))
			require.Equal(t, []string{"ValidationError", "AuthenticationError", "AuthorizationError", "NotFoundError", "InvalidArgumentError"},
				one[[]string](t, db.Pool, "SELECT non_retryable FROM penstock.effective_policy($1, 'n')", c.queue))
		})
	}
}

// The row of a queue and name goes before the queue's, that before everybody's; what
// a row leaves open comes from the next, and what a job brought goes before all.
func TestThePolicyIsLookedUpFromTheNarrowest(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	do(t, db.Pool, "UPDATE penstock.retry_policies SET jitter = 0 WHERE queue = '*'")
	do(t, db.Pool, `INSERT INTO penstock.retry_policies (queue, name, strategy, delay, max_attempts) VALUES
		('q', '*', 'linear', '5 s', 3), ('q', 'own', 'fixed', '7 s', NULL), ('q', 'part', NULL, '3 s', NULL)`)
	by := worker(t, db.Pool, "q")
	for _, c := range []struct {
		name, queue, job, further, delay string
		waits                            []string // before each further run; then it is dead
	}{
		{"everybody's", "other", "n", "", "-1 s", []string{"00:00:01", "00:00:02", "00:00:04", "00:00:08"}},
		{"the queue's", "q", "n", "", "-1 s", []string{"00:00:05", "00:00:10"}},
		{"the name's, with the queue's attempts", "q", "own", "", "-1 s", []string{"00:00:07", "00:00:07"}},
		{"the name's delay with the queue's strategy", "q", "part", "", "-1 s", []string{"00:00:03", "00:00:06"}},
		{"the job's delay with the queue's strategy", "q", "n", `, retry => '{"delay": 1500}'`, "-1 s", []string{"00:00:01.5", "00:00:03"}},
		{"the job's strategy with the queue's delay", "q", "n", `, retry => '{"type": "exponential", "backoffMultiplier": 3, "maxAttempts": 4}'`, "-1 s", []string{"00:00:05", "00:00:15", "00:00:45"}},
		{"the job's cap", "q", "n", `, retry => '{"maxDelay": 6000}'`, "-1 s", []string{"00:00:05", "00:00:06"}},
		{"the job's max_attempts go before its strategy's", "q", "n", `, retry => '{"maxAttempts": 9}', max_attempts => 2`, "-1 s", []string{"00:00:05"}},
		{"one attempt is one run", "q", "n", ", max_attempts => 1", "-1 s", nil},
		{"the worker's delay goes before all", "q", "n", "", "42 s", []string{"00:00:42", "00:00:42"}},
		{"a custom strategy without a delay of the worker's", "q", "n", `, retry => '{"type": "custom", "delay": 9000}'`, "-1 s", []string{"00:00:09", "00:00:09"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := one[int64](t, db.Pool, "SELECT penstock.enqueue($1, $2"+c.further+")", c.queue, c.job)
			var waits []string
			for attempt := int32(1); attempt < 20; attempt++ {
				again(t, db.Pool, by, c.queue, id)
				do(t, db.Pool, `SELECT penstock.finish($1, ARRAY[$2::bigint], ARRAY[$3::integer], ARRAY['failed'],
					delays => ARRAY[$4::text::interval])`, c.queue, id, attempt, c.delay)
				wait := one[*string](t, db.Pool, `SELECT (p.run_at - a.finished_at)::text FROM penstock.attempts a
					LEFT JOIN penstock.pending p ON p.job_id = a.job_id WHERE a.job_id = $1 AND a.attempt = $2`, id, attempt)
				if wait == nil {
					break
				}
				waits = append(waits, *wait)
			}
			require.Equal(t, c.waits, waits)
			require.Equal(t, "exhausted", one[string](t, db.Pool, "SELECT reason FROM penstock.dead_jobs WHERE job_id = $1", id))
		})
	}
}

// max_attempts counts runs that failed, the first included: what ends otherwise
// costs nothing.
func TestOnlyFailuresSpendAttempts(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	id := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n', max_attempts => 2)")
	attempt := int32(0)
	for _, how := range []string{"snoozed", "failed", "released", "lost", "snoozed", "lost", "failed"} {
		by := worker(t, db.Pool, "q")
		again(t, db.Pool, by, "q", id)
		attempt++
		if how == "lost" {
			do(t, db.Pool, "SELECT penstock.bury($1, 0)", by)
		} else {
			say(t, db.Pool, id, attempt, how, "", "")
		}
	}
	require.Equal(t, []string{"exhausted: attempt 7, 2 failures of 2, 2 crashes, can be retried: true"}, list[string](t, db.Pool,
		`SELECT format('%s: attempt %s, %s failures of %s, %s crashes, can be retried: %s', reason, attempt, failures,
			max_attempts, crashes, CASE WHEN can_retry THEN 'true' ELSE 'false' END) FROM penstock.dead_jobs`))
}

// A class that the policy knows decides, be it the error's own or one it wraps; what
// is retryable is retried even if it is non-retryable too.
func TestErrorClassesDecideWhetherToRetry(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	do(t, db.Pool, `INSERT INTO penstock.retry_policies (queue, delay, non_retryable, retryable) VALUES ('q', '1 h',
		'{ValidationError,Net*,*Fatal,100%,a_b,C:\\temp\\*}', '{NetTimeout,Flaky*}')`)
	by := worker(t, db.Pool, "q")
	for _, c := range []struct{ name, classes, class, state string }{
		{"an unknown class is retried", "IOError", "IOError", "retrying"},
		{"no class is Error, and retried", "", "Error", "retrying"},
		{"a known class is not", "ValidationError", "ValidationError", "dead"},
		{"nor is one it wraps, which is recorded", "Outer Middle ValidationError", "ValidationError", "dead"},
		{"the outermost of unknown ones is recorded", "Outer Inner", "Outer", "retrying"},
		{"a pattern's end", "NetReset", "NetReset", "dead"},
		{"a pattern's start", "DiskFatal", "DiskFatal", "dead"},
		{"a pattern has to match the whole", "MyNetReset", "MyNetReset", "retrying"},
		{"classes are case-sensitive", "validationerror", "validationerror", "retrying"},
		{"retryable goes before non-retryable", "NetTimeout", "NetTimeout", "retrying"},
		{"the outermost known one decides: to retry", "FlakyThing ValidationError", "FlakyThing", "retrying"},
		{"the outermost known one decides: not to", "ValidationError FlakyThing", "ValidationError", "dead"},
		{"a percent sign is itself", "100%", "100%", "dead"},
		{"and nothing else", "1000", "1000", "retrying"},
		{"so is an underscore", "axb", "axb", "retrying"},
		{"so is a backslash", `C:\temp\x`, `C:\temp\x`, "dead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			do(t, db.Pool, "DELETE FROM penstock.pending") // whose retries are due on a busy machine
			id := running(t, db.Pool, by, "q", "")
			require.Equal(t, answer{"accepted", "failed", c.state}, say(t, db.Pool, id, 1, "failed", c.classes, ""))
			require.Equal(t, c.class, one[string](t, db.Pool, "SELECT error_class FROM penstock.attempts WHERE job_id = $1", id))
			if c.state == "dead" {
				require.Equal(t, "non_retryable false", one[string](t, db.Pool,
					"SELECT reason || ' ' || can_retry::text FROM penstock.dead_jobs WHERE job_id = $1", id))
			}
		})
	}
}

// The reason says why a job is dead, and the entry stands without the job's own row.
func TestADeadJobSaysWhyAndKeepsItsData(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	by := worker(t, db.Pool, "q")
	for _, c := range []struct{ name, outcome, class, reason, can string }{
		{"attempts are spent", "failed", "IOError", "exhausted", "true"},
		{"the last one ran out of time", "failed", "Timeout", "timeout", "true"},
		{"its class is not to be retried", "failed", "NotFoundError", "non_retryable", "false"},
		{"the handler said so", "dead", "IOError", "non_retryable", "false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := running(t, db.Pool, by, "q", `, '{"n": 7}', 9, max_attempts => 1, tags => ARRAY['x'], retry => '{"delay": 5}', trace_context => 'tc'`)
			say(t, db.Pool, id, 1, c.outcome, c.class, "broken")
			do(t, db.Pool, "DELETE FROM penstock.jobs WHERE id = $1", id)
			type entry struct {
				Reason, Can, Class, Message, Data, Retry, Trace string
				Priority, Asked, Max, Attempt, Failures         int
				Tags                                            []string
			}
			require.Equal(t, []entry{{c.reason, c.can, c.class, "broken", `{"n": 7}`, `{"delay": 5}`, "tc", 9, 9, 1, 1, 1, []string{"x"}}},
				rows(t, db.Pool, pgx.RowToStructByPos[entry], `SELECT reason, can_retry::text, error_class, message, data::text, retry::text,
					trace_context, priority, asked_priority, max_attempts, attempt, failures, tags FROM penstock.dead_jobs WHERE job_id = $1`, id))
		})
	}
}

// A job that its workers die of is laid aside at the third death, and its failures
// are not what is blamed.
func TestTheThirdLossIsACrashLoop(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	id := one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")
	for n := range 3 {
		require.Equal(t, n > 0, one[bool](t, db.Pool, "SELECT state = 'retrying' FROM penstock.job_states WHERE id = $1", id))
		by := worker(t, db.Pool, "q")
		require.Equal(t, []lease{{id, int32(n + 1)}}, claim(t, db.Pool, "q", by, 1), "at once, without a delay")
		require.Equal(t, 1, one[int](t, db.Pool, "SELECT penstock.bury($1, 0)", by))
	}
	require.Equal(t, "crash_loop 3 crashes 0 failures WorkerLost", one[string](t, db.Pool,
		"SELECT format('%s %s crashes %s failures %s', reason, crashes, failures, error_class) FROM penstock.dead_jobs WHERE job_id = $1", id))
	require.Equal(t, []string{"lost", "lost", "lost"}, list[string](t, db.Pool, "SELECT outcome FROM penstock.attempts"))
}

// Errors that are one error have one fingerprint.
func TestFingerprintsBlankWhatVaries(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, c := range []struct {
		name, a, b string
		same       bool
	}{
		{"numbers", "row 17 of 20", "row 3 of 2000", true},
		{"decimals", "took 1.5s", "took 20.25s", true},
		{"double quotes", `no user "ann"`, `no user "bob smith"`, true},
		{"single quotes", "column 'a' is missing", "column 'b' is missing", true},
		{"backquotes", "unknown `x`", "unknown `y z`", true},
		{"UUIDs", "job 6ba7b810-9dad-11d1-80b4-00c04fd430c8 failed", "job 00000000-0000-4000-8000-00000000000a failed", true},
		{"hashes", "commit 9f86d081884c7d65 is gone", "commit deadbeef00000001 is gone", true},
		{"addresses", "panic at 0x1f at 0xc000123456", "panic at 0x20 at 0xc000abcdef12", true},
		{"an apostrophe does not quote", "can't open it, don't know why", "can't close it, don't know why", false},
		{"words", "disk full", "disk gone", false},
		{"words of hex letters alone", "the facade failed", "the decade failed", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			print := func(class, message string) string {
				return one[string](t, db.Pool, "SELECT penstock.fingerprint($1, $2)", class, message)
			}
			require.Equal(t, c.same, print("E", c.a) == print("E", c.b))
			require.NotEqual(t, print("E", c.a), print("F", c.a), "another class is another error")
			require.Regexp(t, "^[0-9a-f]{16}$", print("E", c.a))
		})
	}
}

// The delay that SQL works out is the one that the library previews, after any
// number of failures.
func TestRetryDelaysAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	conn := session(t, testkit.New(t))
	day := float64(24 * time.Hour)
	duration := rapid.Custom(func(t *rapid.T) time.Duration {
		// From nothing to a year, every magnitude alike, in whole microseconds.
		exponent := rapid.Float64Range(-1, math.Log(366*day/1000)).Draw(t, "magnitude")
		return time.Duration(math.Max(math.Floor(math.Exp(exponent)), 0)) * time.Microsecond
	})
	failures := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(1, math.MaxInt32), rapid.Just(math.MaxInt32))
	rapid.Check(t, func(t *rapid.T) {
		batch := &pgx.Batch{}
		for range 20 {
			jitter := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0, 1)).Draw(t, "jitter")
			s := penstock.RetryStrategy{
				Type:  rapid.SampledFrom([]penstock.Strategy{"exponential", "linear", "fixed", "custom"}).Draw(t, "strategy"),
				Delay: duration.Draw(t, "delay"), MaxDelay: duration.Draw(t, "cap"), Jitter: &jitter,
				Multiplier: rapid.OneOf(rapid.Just(1.0), rapid.Just(2.0), rapid.Float64Range(1, 1000)).Draw(t, "multiplier"),
			}
			n, chance := failures.Draw(t, "failures"), rapid.Float64Range(0, 0.999999).Draw(t, "chance")
			expected := s.RetryDelay(n, chance)
			what := fmt.Sprintf("%+v jitter %v, failure %d, chance %v", s, jitter, n, chance)
			batch.Queue("SELECT extract(epoch FROM penstock.retry_delay($1, $2, $3, $4, $5, $6, $7))::float8",
				string(s.Type), s.Delay, s.Multiplier, s.MaxDelay, jitter, n, chance).QueryRow(func(row pgx.Row) error {
				var seconds float64
				if err := row.Scan(&seconds); err != nil {
					return fmt.Errorf("%s: %w", what, err)
				}
				require.InDelta(t, expected.Seconds(), seconds, 2e-6+1e-11*expected.Seconds(), what)
				require.GreaterOrEqual(t, seconds, 0.0, what)
				require.LessOrEqual(t, seconds, s.MaxDelay.Seconds()+1e-6, what)
				return nil
			})
		}
		ctx, cancel := soon()
		defer cancel()
		require.NoError(t, conn.SendBatch(ctx, batch).Close())
	})
}

// Jitter spreads the delay around what it would be, and no further than its share.
func TestJitterSpreadsTheDelayByItsShare(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	spread := rows(t, db.Pool, pgx.RowToStructByPos[struct{ Least, Most, Mean float64 }], `SELECT min(s), max(s), avg(s) FROM (
		SELECT extract(epoch FROM penstock.retry_delay('fixed', '100 s', 1, '1 hour', 0.2, 1))::float8 AS s FROM generate_series(1, 2000)) d`)[0]
	require.GreaterOrEqual(t, spread.Least, 80.0)
	require.Less(t, spread.Least, 84.0)
	require.Greater(t, spread.Most, 116.0)
	require.LessOrEqual(t, spread.Most, 120.0)
	require.InDelta(t, 100, spread.Mean, 2)
}
