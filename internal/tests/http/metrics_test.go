package http_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheSeedsMetricsAreThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, outcome := range []string{"completed", "completed", "completed", "failed"} {
		id := f.enqueue(t, "deploy-contract", object{"name": "deploy"})
		require.Equal(t, []int64{id}, f.claim(t, "deploy-contract", 1))
		f.finish(t, id, outcome)
	}
	// metrics.metrics.successRate and .averageProcessingTime, as the seed reads them.
	answer := get[object](t, f, "/api/v1/queue/enhanced/deploy-contract/metrics")
	require.Equal(t, "deploy-contract", answer["queueName"])
	metrics := answer["metrics"].(object)
	require.Equal(t, []any{0.75, 0.25, 4.0, 3.0, 1.0, 1.0}, pick(metrics, "successRate", "failureRate", "enqueued", "completed", "failed", "retrying"))
	require.GreaterOrEqual(t, metrics["averageProcessingTime"], 0.0)

	performance := get[object](t, f, "/api/v1/queue/enhanced/deploy-contract/performance?window=3600000")
	processing := performance["processingTime"].(object)
	require.Equal(t, 3.0, processing["count"])
	for _, figure := range []string{"average", "median", "p95", "p99"} {
		require.GreaterOrEqual(t, processing[figure], 0.0, figure)
	}

	all := get[object](t, f, "/api/v1/queue/enhanced/metrics/all")
	require.Equal(t, 3.0, all["total"].(object)["completed"])
	require.Len(t, all["queues"], 2, "q has a worker")
	require.Nil(t, get[object](t, f, queues+"unused/metrics")["metrics"].(object)["successRate"], "of nothing there is no rate")
}

func TestAQueueNamedMetricsIsAQueueLikeAnyOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.enqueue(t, "metrics", object{"name": "n"})
	require.Equal(t, "metrics", get[object](t, f, "/api/v1/queue/enhanced/metrics/metrics")["queueName"])
	require.Equal(t, "metrics", get[object](t, f, queues+"metrics")["queueName"])
	require.Empty(t, get[list[object]](t, f, queues+"metrics/dlq").Items)
	require.Contains(t, get[object](t, f, queues+"metrics/all"), "total")
}

func TestHistoryIsAListOfSamples(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	from := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	require.NotNil(t, get[list[object]](t, f, queues+"q/history?step=minute&from="+from).Items)
	require.NotNil(t, get[list[object]](t, f, queues+"*/history?step=hour").Items)
	f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, queues+"q/history?step=year", nil)
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, queues+"q/metrics?window=1", nil)
	require.Equal(t, "window", wrong.Errors[0].Pointer)
}

// A span from before the year 0 has no beginning that JSON could tell.
func TestASpanBeginsAfterTheYear0(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for span, argument := range map[string]string{
		"to=0000-01-01T00:00:00Z":                                  "to",
		"to=0001-01-01T00:30:00Z":                                  "to",
		"from=0000-01-01T00:00:00%2B10:00&to=0000-01-01T00:00:00Z": "from",
		"window=3600000&to=0000-01-01T00:00:00Z":                   "to",
		"from=0000-06-01T00:00:00Z&to=0000-07-01T00:00:00Z":        "from",
	} {
		wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, queues+"q/performance?"+span, nil)
		require.Equal(t, argument, wrong.Errors[0].Pointer, span)
	}
	get[object](t, f, queues+"q/performance?from=0001-06-01T00:00:00Z&to=0001-07-01T00:00:00Z")
}
