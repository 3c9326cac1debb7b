package http_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFailingQueueShowsItsIssueAndWhatToDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `UPDATE penstock.scheduled_tasks SET next_run_at = now()`) // no server of theirs has run yet
	f.kill(t, "deploy-contract", 12)
	for _, path := range []string{"/api/v1/queue/enhanced/deploy-contract/health", queues + "deploy-contract/health"} {
		health := get[object](t, f, path)
		require.Equal(t, []any{"deploy-contract", "warning"}, pick(health, "queueName", "status"))
		issues := health["issues"].([]any)
		require.Len(t, issues, 2, "and a spike of one error")
		issue := issues[0].(object)
		require.Equal(t, []any{"dead_growth", "warning", 12.0, 10.0, "jobs/hour"}, pick(issue, "code", "severity", "figure", "threshold", "unit"))
		require.Contains(t, issue["recommendation"], "penstock dlq groups deploy-contract")
		require.Equal(t, []any{issue["recommendation"], issues[1].(object)["recommendation"]}, health["recommendations"])
		// health.metrics.successRate and its siblings, as the seed reads them.
		require.Equal(t, []any{0.0, 12.0, 12.0, nil}, pick(health["metrics"].(object), "successRate", "dead", "died", "averageProcessingTime"))
	}

	all := get[object](t, f, "/api/v1/health")
	require.Equal(t, []any{"warning", "healthy"}, []any{all["status"], all["database"].(object)["status"]})
	require.NotContains(t, all["database"], "metrics")
	statuses := map[any]any{}
	for _, queue := range all["queues"].([]any) {
		statuses[queue.(object)["queueName"]] = queue.(object)["status"]
	}
	require.Equal(t, map[any]any{"deploy-contract": "warning", "q": "healthy"}, statuses, "q has a worker")
	require.Equal(t, "healthy", get[object](t, f, queues+"unused/health")["status"])
}

func TestThresholdsDecideWhatIsFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, "mail", 3)
	const path = queues + "mail/health/thresholds"
	status := func() any { return get[object](t, f, queues+"mail/health")["status"] }
	require.Equal(t, "healthy", status())
	before := get[object](t, f, path)
	require.Equal(t, []any{"mail", 10.0, 100.0, 10000.0}, pick(before, "queueName", "deadWarning", "deadCritical", "waitObjective"))

	after := call[object](t, f, http.MethodPatch, path, object{"deadWarning": 2, "waitObjective": 2500})
	require.Equal(t, []any{2.0, 100.0, 2500.0}, pick(after, "deadWarning", "deadCritical", "waitObjective"))
	require.Equal(t, "warning", status())
	call[object](t, f, http.MethodPatch, path, object{"deadCritical": 3})
	require.Equal(t, "critical", status())
	require.Equal(t, 10.0, get[object](t, f, queues+"other/health/thresholds")["deadWarning"], "that was mail's alone")
	require.Equal(t, before, call[object](t, f, http.MethodPatch, path, `{"deadWarning": null, "deadCritical": null, "waitObjective": null}`), "null takes back")
	call[object](t, f, http.MethodPatch, queues+"*/health/thresholds", object{"deadWarning": 1})
	require.Equal(t, "warning", status())

	changed := get[object](t, f, path)
	for pointer, body := range map[string]string{
		"/waitShare":     `{"waitShare": 1.5}`,
		"/span":          `{"span": 1}`,
		"/crashCritical": `{"deadWarning": 7, "crashCritical": -1}`,
		"/spikeWarning":  `{"spikeWarning": 1.5}`,
		"/deadCritical":  `{"deadCritical": "many"}`,
		"/dead_warning":  `{"dead_warning": 1}`,
	} {
		wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, path, body)
		require.Equal(t, pointer, wrong.Errors[0].Pointer)
	}
	f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, path, `{}`)
	require.Equal(t, changed, get[object](t, f, path), "a refusal changes nothing")
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, queues+"*/health/thresholds", `{"leastAttempts": null}`)
	require.Equal(t, "/leastAttempts", wrong.Errors[0].Pointer, "nothing broader is there")
}

func TestEveryThresholdIsSetByItsNameAndWithinItsBounds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = queues + "mail/health/thresholds"
	for field, bounds := range map[string][2]float64{
		"span": {60000, 86400000}, "leastAttempts": {1, 1000000}, "waitObjective": {10, 31622400000}, "waitShare": {0, 1},
		"successRateWarning": {0, 1}, "successRateCritical": {0, 1}, "loadWarning": {0.01, 1000000}, "loadCritical": {0.01, 1000000},
		"deadWarning": {1, 2147483647}, "deadCritical": {1, 2147483647}, "runningWarning": {1000, 31622400000},
		"runningCritical": {1000, 31622400000}, "crashWarning": {0, 1}, "crashCritical": {0, 1}, "slowdownWarning": {1, 1000000},
		"slowdownCritical": {1, 1000000}, "spikeWarning": {1, 2147483647}, "spikeCritical": {1, 2147483647},
	} {
		for _, bound := range bounds {
			require.Equal(t, bound, call[object](t, f, http.MethodPatch, path, object{field: bound})[field], field)
		}
		for _, beyond := range []float64{bounds[0] - 1, bounds[1] + 1} {
			wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, path, object{field: beyond})
			require.Equal(t, "/"+field, wrong.Errors[0].Pointer)
		}
	}
}

func TestHealthReportsAreListedOnceTheTaskHasRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Empty(t, get[list[object]](t, f, queues+"mail/health/reports").Items)
	f.kill(t, "mail", 12)
	f.exec(t, `SELECT penstock.report_health()`)
	f.exec(t, `SELECT penstock.report_health()`)
	first := get[list[object]](t, f, queues+"mail/health/reports?limit=1")
	require.Len(t, first.Items, 1)
	report := first.Items[0]
	require.Equal(t, []any{"mail", "warning"}, pick(report, "queueName", "status"))
	require.Equal(t, "dead_growth", report["issues"].([]any)[0].(object)["code"])
	second := get[list[object]](t, f, queues+"mail/health/reports?limit=1&cursor="+first.Next)
	require.Len(t, second.Items, 1)
	require.Greater(t, number(t, report["id"]), number(t, second.Items[0]["id"]))
	ofAll := map[any]bool{}
	for _, r := range get[list[object]](t, f, queues+"*/health/reports").Items {
		ofAll[r["queueName"]] = true
	}
	require.True(t, ofAll["mail"] && ofAll[nil], "the database's have no queue: %v", ofAll)
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, queues+"other/health/reports?cursor="+first.Next, nil)
	require.Equal(t, "cursor", wrong.Errors[0].Pointer, "it is of another queue")
}
