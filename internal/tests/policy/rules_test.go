package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// decide is what a job with this data is given.
func (f *fixture) decide(t testing.TB, queue, data string, tags ...string) penstock.PriorityDecision {
	t.Helper()
	d, err := f.client.Priorities.Decide(t.Context(), queue, json.RawMessage(data), tags)
	require.NoError(t, err)
	return d
}

func TestShippedRulesDecideAsTheSeedSays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	long, text := strings.Repeat("漢", 281), strings.Repeat("漢", 280)
	for _, c := range []struct {
		name, queue, data string
		tags              []string
		weight            int
		level             string
		rule              int
	}{
		{"production is critical", "deploy-contract", `{"environment": "production"}`, nil, 20, "critical", 10},
		{"production comes before urgent", "deploy-contract", `{"environment": "production", "urgent": true}`, nil, 20, "critical", 10},
		{"urgent is high", "deploy-contract", `{"environment": "staging", "urgent": true}`, nil, 10, "high", 20},
		{"so is the tag, which shifts too", "deploy-contract", `{"environment": "staging"}`, []string{"urgent"}, 15, "high", 20},
		{"also when it comes with the data", "deploy-contract", `{"metadata": {"tags": ["urgent"]}}`, nil, 15, "high", 20},
		{"urgent as text is nothing", "deploy-contract", `{"environment": "dev", "urgent": "true"}`, nil, 1, "low", 40},
		{"staging is normal", "deploy-contract", `{"environment": "staging"}`, nil, 5, "normal", 30},
		{"dev is low", "deploy-contract", `{"environment": "dev"}`, nil, 1, "low", 40},
		{"development too", "deploy-contract", `{"environment": "development"}`, nil, 1, "low", 40},
		{"another environment is the default", "deploy-contract", `{"environment": "qa"}`, nil, 5, "normal", 0},
		{"an environment deeper down is none", "deploy-contract", `{"options": {"environment": "production"}}`, nil, 5, "normal", 0},
		{"no data is the default", "deploy-contract", `{}`, nil, 5, "normal", 0},
		{"data that is no object too", "deploy-contract", `"production"`, nil, 5, "normal", 0},

		{"real time is high", "process-tts", `{"realTime": true, "batch": true}`, nil, 10, "high", 10},
		{"a batch is low", "process-tts", `{"batch": true, "text": "Hi"}`, nil, 1, "low", 20},
		{"280 characters are short", "process-tts", `{"text": "` + text + `"}`, nil, 5, "normal", 30},
		{"lines count as characters", "process-tts", `{"text": "a\nb"}`, nil, 5, "normal", 30},
		{"281 are between low and normal", "process-tts", `{"text": "` + long + `"}`, nil, 3, "low", 40},
		{"no text is the default", "process-tts", `{"voiceId": "v"}`, nil, 5, "normal", 0},

		{"breaking is critical", "index-market-news", `{"breaking": true}`, nil, 20, "critical", 10},
		{"regular is normal", "index-market-news", `{"breaking": false}`, nil, 5, "normal", 0},
	} {
		d := f.decide(t, c.queue, c.data, c.tags...)
		require.Equal(t, c.weight, d.Weight, c.name)
		require.Equal(t, c.level, d.Level, c.name)
		require.Equal(t, c.rule, d.Rule, c.name)
		require.Empty(t, d.Errors, c.name)
	}
}

func TestNewsOfTheLastFiveMinutesIsHighInEveryFormOfATime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := one[time.Time](t, f, `SELECT now()`)
	tokyo, newfoundland := time.FixedZone("", 9*3600), time.FixedZone("", -(3*3600+1800))
	for _, form := range []struct {
		name  string
		write func(time.Time) any
	}{
		{"toISOString", func(at time.Time) any { return at.UTC().Format("2006-01-02T15:04:05.000Z") }},
		{"without milliseconds", func(at time.Time) any { return at.UTC().Format("2006-01-02T15:04:05Z") }},
		{"with nanoseconds", func(at time.Time) any { return at.UTC().Format("2006-01-02T15:04:05.000000000Z") }},
		{"without seconds", func(at time.Time) any { return at.UTC().Format("2006-01-02T15:04Z") }},
		{"east of Greenwich", func(at time.Time) any { return at.In(tokyo).Format("2006-01-02T15:04:05.000-07:00") }},
		{"west of it, by half an hour", func(at time.Time) any { return at.In(newfoundland).Format("2006-01-02T15:04:05-07:00") }},
		{"an offset without a colon", func(at time.Time) any { return at.In(newfoundland).Format("2006-01-02T15:04:05-0700") }},
		{"an offset of hours", func(at time.Time) any { return at.In(tokyo).Format("2006-01-02T15:04:05-07") }},
		{"epoch milliseconds", func(at time.Time) any { return at.UnixMilli() }},
		{"epoch milliseconds with a fraction", func(at time.Time) any { return json.Number(fmt.Sprintf("%d.25", at.UnixMilli())) }},
	} {
		for ago, weight := range map[time.Duration]int{
			0: 10, 3 * time.Minute: 10, 7 * time.Minute: 5, 24 * time.Hour: 5, 365 * 24 * time.Hour: 5,
		} {
			data, err := json.Marshal(map[string]any{"publishedAt": form.write(now.Add(-ago)), "title": "2020-01-01T00:00:00Z"})
			require.NoError(t, err)
			d := f.decide(t, "index-market-news", string(data))
			require.Equal(t, weight, d.Weight, "%s, %v ago: %s", form.name, ago, data)
			require.Empty(t, d.Errors)
		}
	}
}

func TestWhatOnlyLooksLikeATimeIsNoTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, value := range []string{
		`"yesterday"`, `""`, `null`, `true`, `[]`, `{}`, `"2999-02-30T00:00:00Z"`, `"2999-99-99T99:99:99Z"`, `"0000-00-00T00:00:00Z"`,
		`"2999-01-01"`, `"2999-01-01T00:00:00"`, `"2999-01-01T00:00:00+99:99"`, `"x2999-01-01T00:00:00Z"`, `"2999-01-01T00:00:00Z "`,
		`"\"2999-01-01T00:00:00Z\""`, `"\\2999-01-01T00:00:00Z"`, `-1`, `0`, `"١٩٩٩-01-01T00:00:00Z"`,
	} {
		d := f.decide(t, "index-market-news", `{"publishedAt": `+value+`}`)
		require.Equal(t, 5, d.Weight, value)
		require.Empty(t, d.Errors, value)
	}
	for _, data := range []string{
		`{"2999-01-01T00:00:00Z": 1}`,
		`{"2999-01-01T00:00:00Z": "2999-01-01T00:00:00Z"}`,
		`{"a": "2999-01-01T00:00:00Z", "2999-01-01T00:00:00Z": {"b": ["2999-01-01T00:00:00Z"]}}`,
	} {
		require.Equal(t, 5, f.decide(t, "index-market-news", data).Weight, data)
	}
	// One that cannot be a time keeps none of the others from being one.
	require.Equal(t, 10, f.decide(t, "index-market-news",
		`{"at": "2999-02-30T00:00:00Z", "publishedAt": "2999-01-01T00:00:00Z", "x\"2999-01-01T00:00:00Z": 1}`).Weight)
}

func TestRulesMayLookBackByTheirVariables(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for position, variable := range []string{"ago_1m", "ago_5m", "ago_1h", "ago_1d"} {
		require.NoError(t, f.client.Priorities.SetRule(t.Context(), penstock.PriorityRule{
			Queue: "q", Position: position + 1, Condition: "$.at >= $" + variable + " && $.at <= $now", Priority: penstock.Weight(90 - position),
		}))
	}
	now := one[time.Time](t, f, `SELECT now()`)
	for ago, weight := range map[time.Duration]int{
		time.Second: 90, 2 * time.Minute: 89, 6 * time.Minute: 88, 2 * time.Hour: 87, 25 * time.Hour: 5, -time.Hour: 5,
	} {
		at, err := json.Marshal(now.Add(-ago))
		require.NoError(t, err)
		require.Equal(t, weight, f.decide(t, "q", `{"at": `+string(at)+`}`).Weight, ago)
	}
}

func TestTheFirstRuleThatHoldsDecidesByPosition(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	set := func(position int, condition string, priority penstock.Priority) {
		require.NoError(t, f.client.Priorities.SetRule(ctx, penstock.PriorityRule{Queue: "q", Position: position, Condition: condition, Priority: priority}))
	}
	set(1000, "$", penstock.Weight(2)) // finds something in any data
	set(7, "$.vip", "critical")
	set(30, "$.items.size() > 3", penstock.Weight(42))
	require.Equal(t, 20, f.decide(t, "q", `{"vip": 0, "items": [1, 2, 3, 4]}`).Weight)
	require.Equal(t, 2, f.decide(t, "q", `{"vip": false}`).Weight, "false is not found")
	require.Equal(t, 2, f.decide(t, "q", `{"vip": null}`).Weight, "nor is null")
	require.Equal(t, 42, f.decide(t, "q", `{"items": [1, 2, 3, 4]}`).Weight)
	set(7, "$.vip == true", penstock.Weight(77))
	require.Equal(t, 77, f.decide(t, "q", `{"vip": true}`).Weight, "a change holds at once")
	require.NoError(t, f.client.Priorities.RemoveRule(ctx, "q", 7))
	require.Equal(t, 2, f.decide(t, "q", `{"vip": true}`).Weight)
	require.Equal(t, 5, f.decide(t, "other", `{"vip": true}`).Weight, "another queue has its own")

	require.NoError(t, f.client.Queues.Set(ctx, "other", penstock.QueueChange{DefaultPriority: "high"}))
	require.Equal(t, 10, f.decide(t, "other", `{}`).Weight, "the queue's default is where no rule holds")
}

func TestARuleThatErrsIsPassedOverAndReported(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for position, condition := range map[int]string{
		1: "strict $.missing.deeper", 2: "$.text.double()", 3: "$.text + 1", 4: "$.ok == true",
	} {
		require.NoError(t, f.client.Priorities.SetRule(t.Context(), penstock.PriorityRule{
			Queue: "q", Position: position, Condition: condition, Priority: "high",
		}))
	}
	id := f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Data: json.RawMessage(`{"ok": true, "text": "ten", "a": 1}`)})
	require.EqualValues(t, 10, one[int16](t, f, `SELECT priority FROM penstock.pending WHERE job_id = $1`, id))

	rules, err := f.client.Priorities.Rules(t.Context(), "q")
	require.NoError(t, err)
	require.Len(t, rules, 4)
	for i, says := range []string{"does not contain key", "double", "not a single numeric value"} {
		require.Contains(t, rules[i].Error, says)
		require.WithinDuration(t, time.Now(), *rules[i].ErrorSeen, time.Minute)
	}
	require.Empty(t, rules[3].Error)
	d := f.decide(t, "q", `{"ok": true, "text": "ten", "a": 1}`)
	require.Len(t, d.Errors, 3)
	require.Equal(t, 4, d.Rule)

	// It is noted once a minute, and forgotten when the rule is mended.
	seen := rules[0].ErrorSeen
	f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n"})
	require.NoError(t, f.client.Priorities.SetRule(t.Context(), penstock.PriorityRule{Queue: "q", Position: 2, Condition: "$.text", Priority: "low"}))
	rules, err = f.client.Priorities.Rules(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, seen, rules[0].ErrorSeen)
	require.Empty(t, rules[1].Error)
}

func TestRulesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		name     string
		rule     penstock.PriorityRule
		says     string
		argument string
	}{
		{"no jsonpath", penstock.PriorityRule{Condition: "environment = production"}, "a jsonpath (", "condition"},
		{"nothing", penstock.PriorityRule{Condition: ""}, "a jsonpath (", "condition"},
		{"a regular expression that is none", penstock.PriorityRule{Condition: `$.a like_regex "("`}, "parentheses", "condition"},
		{"one that Postgres cannot", penstock.PriorityRule{Condition: `$.a like_regex "x" flag "x"`}, "not implemented", "condition"},
		{"a variable that is none", penstock.PriorityRule{Condition: `$.a > $yesterday`}, "$ago_1d, $tags", "condition"},
		{"a condition without end", penstock.PriorityRule{Condition: strings.Repeat("$.a || ", 300) + "$.a"}, "at most 2000 characters", "condition"},
		{"a level that is none", penstock.PriorityRule{Priority: "urgent"}, "low, normal, high, critical, got urgent", "priority"},
		{"a weight beyond the highest", penstock.PriorityRule{Priority: "101"}, "a weight from 1 to 100", "priority"},
		{"a weight below the lowest", penstock.PriorityRule{Priority: "0"}, "a weight from 1 to 100", "priority"},
		{"a priority of nothing", penstock.PriorityRule{Priority: " "}, "a weight from 1 to 100", "priority"},
		{"a position before the first", penstock.PriorityRule{Position: -1}, "1 to 1000", "position"},
		{"a position behind the last", penstock.PriorityRule{Position: 1001}, "1 to 1000", "position"},
		{"a queue that cannot be", penstock.PriorityRule{Queue: "a b"}, "queue must be", "queue"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.rule.Queue == "" {
				c.rule.Queue = "q"
			}
			if c.rule.Position == 0 {
				c.rule.Position = 1
			}
			if c.rule.Priority == "" {
				c.rule.Priority = "high"
			}
			if c.rule.Condition == "" && c.argument != "condition" {
				c.rule.Condition = "$.a"
			}
			err := f.client.Priorities.SetRule(t.Context(), c.rule)
			var refused *penstock.ArgumentError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, c.argument, refused.Argument)
			require.ErrorContains(t, err, c.says)
		})
	}
	require.Empty(t, column[int16](t, f, `SELECT position FROM penstock.priority_rules WHERE queue = 'q'`))
}
