package policytest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// storable is text that can be sent to Postgres at all.
func storable(texts ...string) bool {
	for _, text := range texts {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return false
		}
	}
	return true
}

// refusedOr demands that an error, if there is one, is an argument's.
func refusedOr(t *testing.T, err error) (refused bool) {
	t.Helper()
	if err == nil {
		return false
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, errors.Is(err, penstock.ErrInvalidArgument) || ok && pg.Code == "PN400", "%v", err)
	return true
}

// No rule, whatever it says, makes an enqueue fail or weigh beyond 1 to 100.
func FuzzRulesNeverFailAnEnqueue(f *testing.F) {
	for _, seed := range [][3]string{
		{`$.environment == "production"`, `{"environment": "production"}`, "critical"},
		{`$.publishedAt >= $ago_5m`, `{"publishedAt": "2026-01-01T00:00:00.000Z"}`, "10"},
		{`strict $.a.b.c[last]`, `{"a": {"b": 1}}`, "05"},
		{`$.** ? (@.type() == "number")`, `[[[[1]]], {"a": 1e300}]`, "100"},
		{`$.a / 0`, `{"a": 1}`, "low"},
		{`$.a.datetime()`, `{"a": "12:00"}`, "high"},
		{`$.a like_regex "^(a+)+$" flag "iq"`, `{"a": "aaaaaaaaaaaaaaaaaaaaaaaa!"}`, "high"},
		{`$.a like_regex "\\"`, `{}`, "high"},
		{`$tags[*] starts with "u"`, `{"metadata": {"tags": ["urgent", 1]}}`, "0"},
		{`$nope`, `{}`, "high"},
		{`exists($[99999999999])`, `[]`, "101"},
		{`$.keyvalue()`, `3`, " "},
		{`"$\"now"`, `"2026-01-01T00:00:00Z"`, "high"},
		{`$`, `{"2026-01-01T00:00:00Z": "2026-01-01T00:00:00Z"}`, "high"},
		{`$.a.double()`, `{"a": "1e999"}`, "high"},
		{`-$.a`, `{"a": "x"}`, "high"},
		{``, `null`, ``},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	fix := newFixture(f)
	f.Fuzz(func(t *testing.T, condition, data, priority string) {
		if !storable(condition, data, priority) || !json.Valid([]byte(data)) {
			t.Skip()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := fix.client.SetPriorityRule(ctx, penstock.PriorityRule{
			Queue: "q", Position: 1, Condition: condition, Priority: penstock.Priority(priority),
		})
		if refusedOr(t, err) {
			return
		}
		id, err := fix.client.Enqueue(ctx, penstock.NewJob{Queue: "q", Name: "n", Data: json.RawMessage(data)})
		if refusedOr(t, err) {
			require.NotContains(t, err.Error(), "condition", "it is the data that was refused")
			return
		}
		weight := one[int](t, fix, `SELECT priority FROM penstock.pending WHERE job_id = $1`, id)
		d, err := fix.client.DecidePriority(ctx, "q", json.RawMessage(data), nil)
		require.NoError(t, err)
		require.Equal(t, weight, d.Weight)
		require.True(t, weight >= 1 && weight <= 100, weight)
		rules, err := fix.client.PriorityRules(ctx, "q")
		require.NoError(t, err)
		require.Len(t, rules, 1)
		if message, erred := d.Errors[1]; erred {
			require.NotEmpty(t, message)
			require.NotEmpty(t, rules[0].Error, "it is reported")
		}
	})
}

// No policy and no strategy that was let in keeps a failing job from being retried
// within its cap, or buried.
func FuzzPoliciesNeverJamAFailure(f *testing.F) {
	for _, seed := range [][3]string{
		{`{"type": "exponential", "delay": 1000, "backoffMultiplier": 1000, "maxDelay": 31622400000}`, `{}`, "Oops"},
		{`{"delay": 1e-400, "jitter": 1, "maxAttempts": 100.0}`, `{"maxAttempts": 1e1}`, "Oops"},
		{`{"maxDelay": 0}`, `{"type": "linear", "delay": 0.0001}`, "a b c"},
		{`{"type": "custom"}`, `{"type": "custom", "jitter": 1e-9}`, "ValidationError"},
		{`{"nonRetryable": ["*", "%", "\\", "_"], "retryable": ["\\%"]}`, `null`, `\x`},
		{`{"nonRetryable": [], "retryable": ["*****************a"]}`, `{"delay": 31622400000}`, "aaaaaaaaaaaaaaaaaaaaaaab"},
		{`{"backoffMultiplier": 1.0000000000000002}`, `{"backoffMultiplier": 999.999999999999}`, " "},
		{`{"type": null, "delay": null, "jitter": null}`, `[]`, ""},
		{`{"maxAttempts": "5"}`, `{"maxAttempts": 101}`, "Oops"},
		{`[]`, `{"delay": -0}`, "Oops"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	fix := newFixture(f)
	f.Fuzz(func(t *testing.T, policy, retry, class string) {
		if !storable(policy, retry, class) || !json.Valid([]byte(policy)) || !json.Valid([]byte(retry)) {
			t.Skip()
		}
		ctx := context.Background()
		_, err := fix.Pool.Exec(ctx, `SELECT penstock.set_policy('q', 'n', $1)`, json.RawMessage(policy))
		refusedOrNUL(t, err)
		var id int64
		err = fix.Pool.QueryRow(ctx, `SELECT (penstock.enqueue_many('q', '{n}', '{"{}"}', ARRAY[jsonb_build_object('retryStrategy', $1::jsonb)]))[1]`,
			json.RawMessage(retry)).Scan(&id)
		if refusedOrNUL(t, err) {
			return
		}
		p, err := fix.client.Policy(ctx, "q", "n", nil)
		require.NoError(t, err)
		require.True(t, p.Strategy != nil && p.Delay != nil && p.Multiplier != nil && p.MaxDelay != nil && p.MaxAttempts != nil && p.Jitter != nil)
		schedule, err := fix.client.PreviewPolicy(ctx, "q", "n", nil)
		require.NoError(t, err)
		require.Len(t, schedule, *p.MaxAttempts-1)

		leases := fix.claim(t, fix.register(t), "q", 1)
		require.Len(t, leases, 1)
		switch states := fix.end(t, "q", "failed", class, byPolicy, leases...); states[0] {
		case "retrying":
			wait := fix.wait(t, id)
			require.True(t, wait >= 0 && wait <= longest, "%v", wait)
			fix.exec(t, `SELECT penstock.cancel($1)`, id)
		case "dead":
		default:
			require.Fail(t, "neither retried nor dead", states)
		}
	})
}

// refusedOrNUL is refusedOr, but for JSON that Postgres cannot store at all.
func refusedOrNUL(t *testing.T, err error) bool {
	t.Helper()
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code[:2] == "22" && strings.Contains(pg.Where, "JSON") {
		return true
	}
	return refusedOr(t, err)
}
