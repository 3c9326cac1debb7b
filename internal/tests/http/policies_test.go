package http_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPolicyIsChangedFieldByFieldAndTakenBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/v1/policies/process-tts/speak"
	before := get[object](t, f, path)
	require.Equal(t, []any{"exponential", 2000.0, 3.0, 60000.0}, []any{before["type"], before["delay"], before["maxAttempts"], before["maxDelay"]}, "the seed's")

	after := call[object](t, f, http.MethodPatch, path, object{"type": "fixed", "delay": 100, "nonRetryable": []string{"Bad*"}})
	require.Equal(t, []any{"fixed", 100.0, 3.0, []any{"Bad*"}}, []any{after["type"], after["delay"], after["maxAttempts"], after["nonRetryable"]})
	after = call[object](t, f, http.MethodPatch, path, object{"delay": nil, "jitter": 0})
	require.Equal(t, []any{"fixed", 2000.0, 0.0}, []any{after["type"], after["delay"], after["jitter"]}, "null takes back")
	rows := get[list[object]](t, f, "/api/v1/policies").Items
	require.Contains(t, rows, object{"queueName": "process-tts", "name": "speak", "type": "fixed", "jitter": 0.0, "nonRetryable": []any{"Bad*"}})

	call[object](t, f, http.MethodDelete, path, nil)
	require.Equal(t, before, get[object](t, f, path))
	call[object](t, f, http.MethodPatch, "/api/v1/policies/*/*", object{"maxAttempts": 9})
	require.Equal(t, 9.0, get[object](t, f, "/api/v1/policies/anything/n")["maxAttempts"])
	require.Equal(t, 3.0, get[object](t, f, path)["maxAttempts"], "its own is narrower")

	for pointer, body := range map[string]string{
		"/maxAttempts": `{"maxAttempts": 0}`,
		"/type":        `{"type": "sometimes"}`,
		"/colour":      `{"colour": 1}`,
	} {
		wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, path, body)
		require.Equal(t, pointer, wrong.Errors[0].Pointer)
	}
}

func TestAPreviewShowsTheWaitsOfAJobsOwnStrategy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/v1/policies/process-tts/speak"
	own := "?type=linear&delay=1000&maxAttempts=4&backoffMultiplier=1&maxDelay=2500&jitter=0"
	var waits []float64
	for _, step := range get[list[object]](t, f, path+"/preview"+own).Items {
		waits = append(waits, step["usual"].(float64))
	}
	require.Equal(t, []float64{1000, 2000, 2500}, waits)
	require.Equal(t, "linear", get[object](t, f, path+own)["type"])
	require.Equal(t, 0.0, get[object](t, f, path+"?delay=0")["delay"], "0 is no delay, not the policy's")
	require.Len(t, get[list[object]](t, f, path+"/preview").Items, 2)
}

func TestPriorityRulesLevelsAndTagsDecide(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	decide := func(body string) object { return post[object](t, f, queues+"q/decide-priority", body) }
	require.Equal(t, 5.0, decide(`{}`)["weight"])
	rule := call[object](t, f, http.MethodPut, queues+"q/priority-rules/10", object{"condition": "$.vip == true", "priority": "high"})
	require.Equal(t, object{"queueName": "q", "position": 10.0, "condition": "$.vip == true", "priority": "high"}, rule)
	call[object](t, f, http.MethodPut, "/api/v1/priority-levels/urgent", object{"weight": 50})
	call[object](t, f, http.MethodPut, queues+"q/priority-rules/5", object{"condition": "$.boss == true", "priority": "urgent"})
	call[object](t, f, http.MethodPut, "/api/v1/priority-tags/slow", object{"shift": -2})
	require.Equal(t, []any{8.0, 10.0, 10.0, []any{"slow"}}, pick(decide(`{"data": {"vip": true}, "tags": ["slow"]}`), "weight", "rule", "base", "tags"))
	require.Equal(t, []any{50.0, "urgent", 5.0}, pick(decide(`{"data": {"boss": true, "vip": true}}`), "weight", "level", "rule"))
	require.Len(t, get[list[object]](t, f, queues+"q/priority-rules").Items, 2)
	require.Greater(t, len(get[list[object]](t, f, queues+"*/priority-rules").Items), 10, "the shipped ones too")
	require.Contains(t, get[list[object]](t, f, "/api/v1/priority-levels").Items, object{"level": "urgent", "weight": 50.0})
	require.Contains(t, get[list[object]](t, f, "/api/v1/priority-tags").Items, object{"tag": "slow", "shift": -2.0})

	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodDelete, "/api/v1/priority-levels/urgent", nil)
	require.Contains(t, wrong.Errors[0].Detail, "no rule uses")
	call[object](t, f, http.MethodDelete, queues+"q/priority-rules/5", nil)
	call[object](t, f, http.MethodDelete, "/api/v1/priority-levels/urgent", nil)
	call[object](t, f, http.MethodDelete, "/api/v1/priority-tags/slow", nil)
	require.Equal(t, 10.0, decide(`{"data": {"boss": true, "vip": true}, "tags": ["slow"]}`)["weight"])
	wrong = f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPut, queues+"q/priority-rules/1", object{"condition": "$.", "priority": "high"})
	require.Equal(t, "/condition", wrong.Errors[0].Pointer)
}

func pick(from object, keys ...string) (values []any) {
	for _, key := range keys {
		values = append(values, from[key])
	}
	return values
}

func TestThePriorityDistributionCountsByWeight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "q", object{"name": "n", "priority": "high"})
	f.enqueue(t, "q", object{"name": "n", "priority": 11, "delay": 60000})
	f.enqueue(t, "other", object{"name": "n"})
	require.Equal(t, []object{
		{"queueName": "q", "level": "high", "weight": 11.0, "waiting": 0.0, "scheduled": 1.0, "running": 0.0},
		{"queueName": "q", "level": "high", "weight": 10.0, "waiting": 1.0, "scheduled": 0.0, "running": 0.0},
	}, get[list[object]](t, f, "/api/v1/queue/enhanced/q/priority-distribution").Items)
	require.Len(t, get[list[object]](t, f, queues+"*/priority-distribution").Items, 3)
}

func TestABreakerIsTurnedOnAndOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	breaker := call[object](t, f, http.MethodPut, queues+"q/breakers/*", object{"failureShare": 0.25})
	require.Equal(t, object{"queueName": "q", "name": "*", "failureShare": 0.25, "leastAttempts": 20.0, "span": 30000.0, "coolDown": 30000.0}, breaker)
	breaker = call[object](t, f, http.MethodPut, queues+"q/breakers/n", object{"leastAttempts": 3, "span": 1000, "coolDown": 2000})
	require.Equal(t, []any{0.5, 3.0, 1000.0, 2000.0}, pick(breaker, "failureShare", "leastAttempts", "span", "coolDown"))
	all := get[object](t, f, queues+"q/breakers")
	require.Len(t, all["items"], 2)
	require.Empty(t, all["states"])
	call[object](t, f, http.MethodDelete, queues+"q/breakers/n", nil)
	require.Len(t, get[object](t, f, queues+"q/breakers")["items"], 1)
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPut, queues+"q/breakers/n", object{"failureShare": 2})
	require.Equal(t, "/failureShare", wrong.Errors[0].Pointer)
}
