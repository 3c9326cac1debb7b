package policy_test

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
	"pgregory.net/rapid"

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
func refusedOr(t require.TestingT, err error) (refused bool) {
	if err == nil {
		return false
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, errors.Is(err, penstock.ErrInvalidArgument) || ok && pg.Code == "PN400", "%v", err)
	return true
}

// No rule, whatever it says, makes an enqueue fail or weigh beyond 1 to 100.
func FuzzRulesNeverFailAnEnqueue(f *testing.F) {
	for _, seed := range [][2]string{
		{`$.environment == "production"`, `{"environment": "production"}`},
		{`$.publishedAt >= $ago_5m`, `{"publishedAt": "2026-01-01T00:00:00.000Z"}`},
		{`strict $.a.b.c[last]`, `{"a": {"b": 1}}`},
		{`$.** ? (@.type() == "number")`, `[[[[1]]], {"a": 1e300}]`},
		{`$.a / 0`, `{"a": 1}`},
		{`$.a.datetime()`, `{"a": "12:00"}`},
		{`$.a like_regex "^(a+)+$" flag "iq"`, `{"a": "aaaaaaaaaaaaaaaaaaaaaaaa!"}`},
		{`$.a like_regex "\\"`, `{}`},
		{`$tags[*] starts with "u"`, `{"metadata": {"tags": ["urgent", 1]}}`},
		{`$nope`, `{}`},
		{`exists($[99999999999])`, `[]`},
		{`$.keyvalue()`, `3`},
		{`"$\"now"`, `"2026-01-01T00:00:00Z"`},
		{`$ ? ($now > 0)`, `{"2026-01-01T00:00:00Z": "2026-01-01T00:00:00Z"}`},
		{`$.a.double()`, `{"a": "1e999"}`},
		{`-$.a`, `{"a": "x"}`},
		{``, `null`},
	} {
		f.Add(seed[0], seed[1])
	}
	fix := newFixture(f)
	f.Fuzz(func(t *testing.T, condition, data string) {
		if !storable(condition, data) || !json.Valid([]byte(data)) {
			t.Skip()
		}
		fix.tryRule(t, condition, data)
	})
}

// tryRule sets a rule, and if it is taken, enqueues a job that it is evaluated for.
func (f *fixture) tryRule(t require.TestingT, condition, data string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := f.client.Priorities.SetRule(ctx, penstock.PriorityRule{Queue: "q", Position: 1, Condition: condition, Priority: penstock.High})
	if refusedOr(t, err) {
		return
	}
	id, err := f.client.Enqueue(ctx, penstock.NewJob{Queue: "q", Name: "n", Data: json.RawMessage(data)})
	if refusedOr(t, err) {
		var refused *penstock.ArgumentError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "data", refused.Argument, "only data that no queue takes is refused")
		return
	}
	var weight int
	require.NoError(t, f.Pool.QueryRow(ctx, `SELECT priority FROM penstock.pending WHERE job_id = $1`, id).Scan(&weight))
	d, err := f.client.Priorities.Decide(ctx, "q", json.RawMessage(data), nil)
	require.NoError(t, err)
	require.True(t, d.Weight >= 1 && d.Weight <= 100, d.Weight)
	if len(d.Errors) == 0 {
		require.Equal(t, d.Weight, weight)
		return
	}
	rules, err := f.client.Priorities.Rules(ctx, "q")
	require.NoError(t, err)
	require.Len(t, rules, 1)
	require.NotEmpty(t, d.Errors[1])
	require.NotEmpty(t, rules[0].Error, "it is reported")
}

// conditions draws what the jsonpath grammar has, well-formed or nearly so: bytes
// that a fuzzer turns over seldom are a path at all.
func conditions() *rapid.Generator[string] {
	pick := func(words ...string) *rapid.Generator[string] { return rapid.SampledFrom(words) }
	return rapid.Custom(func(t *rapid.T) string {
		path := func(label string) string {
			root := pick("$", "$", "$tags", "$now", "$ago_5m", "$nope", "1", `"a"`, "null", "last").Draw(t, label)
			for range rapid.IntRange(0, 4).Draw(t, label+" steps") {
				root += pick(".a", ".*", ".**", ".**{2 to last}", "[*]", "[0]", "[last]", "[0 to 2]", "[1.5]", `["a"]`, ".size()", ".type()",
					".double()", ".ceiling()", ".datetime()", `.datetime("HH24")`, ".keyvalue()", " ? (@ > 0)", ` ? (@ like_regex "a")`,
					" ? (@.a == $now)", ` ? (@ starts with "2")`, " ? ((@ > $x) is unknown)", ".a.b").Draw(t, label+" step")
			}
			return root
		}
		text := pick("", "", "strict ", "lax ").Draw(t, "mode") + path("left")
		switch rapid.IntRange(0, 4).Draw(t, "form") {
		case 0:
			text += pick(" == ", " > ", " <= ", " <> ", " + ", " / ", " % ", " && ", " ; ").Draw(t, "operator") + path("right")
		case 1:
			text = "exists(" + text + ")"
		case 2:
			text += pick(` like_regex "["`, ` like_regex "^.*$" flag "sm"`, ` starts with $tags`, ` starts with "2"`).Draw(t, "test")
		case 3:
			text = "-(" + text + ")"
		}
		return text
	})
}

func TestNoRuleOfTheGrammarFailsAnEnqueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	data := rapid.SampledFrom([]string{
		`{}`, `{"a": 1}`, `{"a": "2026-01-01T00:00:00.000Z"}`, `{"a": [1, "b", null, {"a": {"b": 0}}], "metadata": {"tags": ["urgent"]}}`,
		`[]`, `["a", 1e308, -0]`, `"12:30"`, `null`, `0`, `{"a": {"a": {"a": {"a": "99999999999999999999999"}}}}`,
	})
	rapid.Check(t, func(rt *rapid.T) {
		f.tryRule(rt, conditions().Draw(rt, "condition"), data.Draw(rt, "data"))
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
		p, err := fix.client.Policies.Get(ctx, "q", "n", nil)
		require.NoError(t, err)
		require.True(t, p.Strategy != nil && p.Delay != nil && p.Multiplier != nil && p.MaxDelay != nil && p.MaxAttempts != nil && p.Jitter != nil)
		schedule, err := fix.client.Policies.Preview(ctx, "q", "n", nil)
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
func refusedOrNUL(t require.TestingT, err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code[:2] == "22" && strings.Contains(pg.Where, "JSON") {
		return true
	}
	return refusedOr(t, err)
}
