package policy_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

func (f *fixture) priorityOf(t testing.TB, id int64) int {
	t.Helper()
	return one[int](t, f, `SELECT priority FROM penstock.job_states WHERE id = $1`, id)
}

func TestTagsShiftTheWeightThatARuleOrTheDefaultGave(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		name, queue, data string
		tags              []string
		weight            int
		shifting          []string
	}{
		{"a tag of the call", "q", `{}`, []string{"urgent"}, 10, []string{"urgent"}},
		{"a tag of the data", "q", `{"metadata": {"tags": ["urgent"]}}`, nil, 10, []string{"urgent"}},
		{"the same tag twice counts once", "q", `{"metadata": {"tags": ["urgent", "urgent"]}}`, []string{"urgent"}, 10, []string{"urgent"}},
		{"tags add up", "q", `{"metadata": {"tags": ["critical"]}}`, []string{"urgent", "production"}, 22, []string{"critical", "production", "urgent"}},
		{"some take away", "q", `{}`, []string{"low-priority"}, 2, []string{"low-priority"}},
		{"but not below 1", "q", `{}`, []string{"low-priority", "batch"}, 1, []string{"batch", "low-priority"}},
		{"after a rule too", "deploy-contract", `{"environment": "production"}`, []string{"batch"}, 16, []string{"batch"}},
		{"unknown tags shift nothing", "q", `{}`, []string{"blue"}, 5, []string{}},
		{"case counts", "q", `{}`, []string{"URGENT"}, 5, []string{}},
		{"what is no text is no tag", "q", `{"metadata": {"tags": [1, null, {"urgent": 1}, ["urgent"]]}}`, nil, 5, []string{}},
		{"a tag alone is no list", "q", `{"metadata": {"tags": "urgent"}}`, nil, 5, []string{}},
		{"metadata that is none", "q", `{"metadata": ["urgent"]}`, nil, 5, []string{}},
	} {
		d := f.decide(t, c.queue, c.data, c.tags...)
		require.Equal(t, c.weight, d.Weight, c.name)
		require.Equal(t, c.shifting, d.Tags, c.name)
		id := f.enqueue(t, penstock.NewJob{Queue: c.queue, Name: "n", Data: json.RawMessage(c.data), Tags: c.tags})
		require.Equal(t, c.weight, f.priorityOf(t, id), "%s: enqueue agrees", c.name)
	}

	require.NoError(t, f.client.Priorities.SetTag(t.Context(), penstock.PriorityTag{Tag: "blue", Shift: 99}))
	require.Equal(t, 100, f.decide(t, "q", `{}`, "blue", "critical").Weight, "nor above 100")
	require.NoError(t, f.client.Priorities.SetTag(t.Context(), penstock.PriorityTag{Tag: "blue", Shift: 0}))
	require.Equal(t, 5, f.decide(t, "q", `{}`, "blue").Weight)
	tags, err := f.client.Priorities.Tags(t.Context())
	require.NoError(t, err)
	shifts := map[string]int{}
	for _, tag := range tags {
		shifts[tag.Tag] = tag.Shift
	}
	require.Equal(t, map[string]int{"batch": -4, "critical": 10, "low-priority": -3, "production": 2, "urgent": 5}, shifts)
	require.ErrorIs(t, f.client.Priorities.SetTag(t.Context(), penstock.PriorityTag{Tag: "x", Shift: 100}), penstock.ErrInvalidArgument)
}

func TestAnExplicitPrioritySkipsRulesAndTags(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	data := json.RawMessage(`{"environment": "production", "metadata": {"tags": ["urgent"]}}`)
	jobs := []penstock.NewJob{
		{Queue: "deploy-contract", Name: "n", Data: data, Priority: penstock.Low, Tags: []string{"critical"}},
		{Queue: "deploy-contract", Name: "n", Data: data, Tags: []string{"critical"}},
		{Queue: "deploy-contract", Name: "n", Data: data, Priority: penstock.Weight(7)},
		{Queue: "deploy-contract", Name: "n", Data: data},
	}
	ids, err := f.client.EnqueueMany(t.Context(), jobs)
	require.NoError(t, err)
	for i, want := range []int{1, 35, 7, 25} {
		require.Equal(t, want, f.priorityOf(t, ids[i]), i)
	}
	require.Equal(t, []string{"1", "-", "7", "-"}, column[string](t, f,
		`SELECT coalesce(asked_priority::text, '-') FROM penstock.jobs ORDER BY id`), "what was asked is kept apart from what was decided")
	for asked, weight := range map[string]int{
		`"critical"`: 20, `42`: 42, `"42"`: 42, `{"level": "high"}`: 10, `{"level": "high", "weight": 12}`: 12, `{"level": "low", "weight": null}`: 1,
	} {
		id := one[int64](t, f, `SELECT (penstock.enqueue_many('deploy-contract', '{n}', ARRAY[$1]::jsonb[],
			ARRAY[jsonb_build_object('priority', $2::jsonb)]))[1]`, data, json.RawMessage(asked))
		require.Equal(t, weight, f.priorityOf(t, id), asked)
	}
}

func TestAWeightShowsAsTheNearestLevelBelow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	level := func(weight int) string { return one[string](t, f, `SELECT penstock.priority_level($1)`, weight) }
	for weight, want := range map[int]string{
		1: "low", 4: "low", 5: "normal", 9: "normal", 10: "high", 19: "high", 20: "critical", 100: "critical",
	} {
		require.Equal(t, want, level(weight), weight)
	}
	ctx := t.Context()
	require.NoError(t, f.client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: "low", Weight: 3}))
	require.Equal(t, "low", level(1), "below the lowest level there is only that")
}

func TestChangedLevelsHoldAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	before := f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Critical})
	require.NoError(t, f.client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: "critical", Weight: 50}))
	require.NoError(t, f.client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: "panic", Weight: 99}))
	require.Equal(t, 50, f.decide(t, "deploy-contract", `{"environment": "production"}`).Weight, "in the rules that name them")
	require.Equal(t, 50, f.priorityOf(t, f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Critical})))
	require.Equal(t, 99, f.priorityOf(t, f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Priority: "panic"})))
	require.Equal(t, 20, f.priorityOf(t, before), "what waits keeps its weight")
	levels, err := f.client.Priorities.Levels(ctx)
	require.NoError(t, err)
	var names []string
	for _, level := range levels {
		names = append(names, fmt.Sprint(level.Level, " ", level.Weight))
	}
	require.Equal(t, []string{"low 1", "normal 5", "high 10", "critical 50", "panic 99"}, names)

	for _, c := range []struct {
		name, level string
		weight      int
		says        string
	}{
		{"a weight that another level has", "huge", 99, "one that no other level has"},
		{"a weight beyond the highest", "huge", 101, "1 to 100, or 0 to remove"},
		{"a name that is a weight", "12", 12, "a name that is not a number"},
		{"a level that rules use", "critical", 0, "one that no rule uses"},
	} {
		err := f.client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: c.level, Weight: c.weight})
		require.ErrorIs(t, err, penstock.ErrInvalidArgument, c.name)
		require.ErrorContains(t, err, c.says, c.name)
	}
	require.NoError(t, f.client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: "panic", Weight: 0}))
	_, err = f.client.Enqueue(ctx, penstock.NewJob{Queue: "q", Name: "n", Priority: "panic"})
	require.ErrorContains(t, err, "one of low, normal, high, critical, got panic")

	f.exec(t, `DELETE FROM penstock.priority_rules`)
	for _, level := range []string{"low", "normal", "high"} {
		require.NoError(t, f.client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: level, Weight: 0}))
	}
	require.ErrorContains(t, f.client.Priorities.SetLevel(ctx, penstock.PriorityLevel{Level: "critical", Weight: 0}), "another than the last one")
}

func TestDelayedJobsKeepTheirPriorityAndDelayNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	worker := f.register(t)
	delayed := f.enqueue(t, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Critical, Delay: time.Hour})
	due := f.enqueueN(t, 3, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Low})
	require.Equal(t, due[:1], ids(f.claim(t, worker, "q", 1)), "a job of tomorrow delays none of today, whatever its weight")
	require.Equal(t, 20, f.priorityOf(t, delayed))
	f.exec(t, `UPDATE penstock.pending SET run_at = now() WHERE job_id = $1`, delayed)
	require.Equal(t, append([]int64{delayed}, due[1:]...), ids(f.claim(t, worker, "q", 10)), "once due it goes by its weight")
}

func TestDistributionCountsByWeightAndLevel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for weight, n := range map[int]int{1: 4, 7: 3, 20: 5} {
		f.enqueueN(t, n, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Weight(weight)})
	}
	f.enqueueN(t, 2, penstock.NewJob{Queue: "q", Name: "n", Priority: penstock.Weight(7), Delay: time.Hour})
	f.enqueueN(t, 1, penstock.NewJob{Queue: "other", Name: "n", Priority: penstock.High})
	f.claim(t, f.register(t), "q", 6)
	shares, err := f.client.Priorities.Distribution(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, []penstock.PriorityShare{
		{Queue: "q", Level: "critical", Weight: 20, Running: 5},
		{Queue: "q", Level: "normal", Weight: 7, Waiting: 2, Scheduled: 2, Running: 1},
		{Queue: "q", Level: "low", Weight: 1, Waiting: 4},
	}, shares)
	all, err := f.client.Priorities.Distribution(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, all, 4)
}
