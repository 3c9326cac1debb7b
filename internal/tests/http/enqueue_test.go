package http_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// queueService.addJob('deploy-contract', 'deploy', …): the seed's basic job, whose
// priority its rules and tags decide.
const seedBasic = `{
	"name": "deploy",
	"data": {
		"environment": "production",
		"contractCode": "0x123...",
		"metadata": {"tags": ["urgent", "production"]}
	}
}`

// queueService.addEnhancedJob('process-tts', 'tts-process', …): the seed's enhanced job,
// its retry strategy within the data, as it is there.
const seedEnhanced = `{
	"name": "tts-process",
	"data": {
		"text": "Hello world",
		"voiceId": "voice-123",
		"realTime": true,
		"retryStrategy": {"type": "exponential", "delay": 1000, "maxAttempts": 5}
	},
	"delay": 5000,
	"priority": {"level": "high", "weight": 10}
}`

func TestTheSeedsBasicJobGetsItsPriorityFromTheRules(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	recorder := f.send(t, http.MethodPost, "/api/v1/queue/enhanced/deploy-contract/jobs", seedBasic)
	require.Equal(t, http.StatusCreated, recorder.Code)
	job := get[object](t, f, recorder.Header().Get("Location"))
	require.Equal(t, []any{"deploy-contract", "deploy", "waiting", 27.0}, []any{job["queueName"], job["name"], job["state"], job["priority"]})
	require.Equal(t, "0x123...", job["data"].(object)["contractCode"])
	require.NotContains(t, job, "retryStrategy")
}

func TestTheSeedsEnhancedJobIsDelayedHighAndBringsItsStrategyInTheData(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := post[object](t, f, "/api/v1/queue/enhanced/process-tts/jobs", seedEnhanced)["id"].(string)
	job := get[object](t, f, "/api/v1/jobs/"+id)
	require.Equal(t, []any{"scheduled", 10.0}, []any{job["state"], job["priority"]})
	require.Equal(t, 5*time.Second, moment(t, job["runAt"]).Sub(moment(t, job["enqueuedAt"])))
	require.Equal(t, object{"type": "exponential", "delay": 1000.0, "maxAttempts": 5.0}, job["retryStrategy"])
	require.Contains(t, job["data"], "retryStrategy", "the data stays as it came")
	policy := ask[int](t, f, `SELECT (penstock.get_policy(j.queue, j.name, j.retry)).max_attempts FROM penstock.jobs j WHERE j.id = $1`, id)
	require.Equal(t, 5, policy)
}

func TestOnlyAWholeStrategyWithinTheDataCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		name, job string
		want      any
	}{
		{"the job's own goes first", `{"name": "n", "data": {"retryStrategy": {"type": "fixed"}}, "retryStrategy": {"type": "linear"}}`, object{"type": "linear"}},
		{"an unknown field makes it data", `{"name": "n", "data": {"retryStrategy": {"type": "fixed", "colour": 1}}}`, nil},
		{"an unknown type makes it data", `{"name": "n", "data": {"retryStrategy": {"type": "sometimes"}}}`, nil},
		{"no type makes it data", `{"name": "n", "data": {"retryStrategy": {"delay": 5}}}`, nil},
		{"a text is data", `{"name": "n", "data": {"retryStrategy": "fixed"}}`, nil},
		{"deeper it is data", `{"name": "n", "data": {"a": {"retryStrategy": {"type": "fixed"}}}}`, nil},
		{"in a text it is data", `{"name": "n", "data": "{\"retryStrategy\": {\"type\": \"fixed\"}}"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := post[object](t, f, queues+"q/jobs", c.job)["id"].(string)
			require.Equal(t, c.want, get[object](t, f, "/api/v1/jobs/"+id)["retryStrategy"])
		})
	}
}

func TestEverythingAJobMayBringIsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	runAt := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	id := f.enqueue(t, "q", object{
		"name": "n", "data": object{"big": 12345678901234567}, "priority": 42, "runAt": runAt, "timeout": 1500, "expiresIn": 7200000,
		"maxAttempts": 7, "tags": []string{"a", "b"}, "idempotencyKey": "k", "traceContext": "00-abc",
		"retryStrategy": object{"type": "fixed", "delay": 0, "maxAttempts": 3, "backoffMultiplier": 2, "maxDelay": 9000, "jitter": 0.5},
	})
	path := fmt.Sprintf("/api/v1/jobs/%d", id)
	job := get[object](t, f, path)
	require.True(t, runAt.Equal(moment(t, job["runAt"])))
	require.Equal(t, []any{42.0, 7.0, "00-abc", []any{"a", "b"}}, []any{job["priority"], job["maxAttempts"], job["traceContext"], job["tags"]})
	require.Equal(t, object{"type": "fixed", "delay": 0.0, "maxAttempts": 3.0, "backoffMultiplier": 2.0, "maxDelay": 9000.0, "jitter": 0.5}, job["retryStrategy"])
	require.InDelta(t, 2*time.Hour, moment(t, job["expiresAt"]).Sub(moment(t, job["enqueuedAt"])), float64(time.Second))
	require.Equal(t, 1500*time.Millisecond, ask[time.Duration](t, f, "SELECT timeout FROM penstock.jobs WHERE id = $1", id))
	require.Contains(t, f.send(t, http.MethodGet, path, nil).Body.String(), "12345678901234567", "digit by digit")
	again := f.enqueue(t, "q", object{"name": "n", "idempotencyKey": "k"})
	require.Equal(t, id, again, "the key holds") // P7
}

func TestAPriorityIsALevelAWeightOrBoth(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		given string
		want  float64
	}{
		{`"low"`, 1},
		{`"critical"`, 20},
		{`33`, 33},
		{`{"level": "high"}`, 10},
		{`{"weight": 77}`, 77},
		{`{"level": "high", "weight": 12}`, 12},
	} {
		id := post[object](t, f, queues+"q/jobs", `{"name": "n", "priority": `+c.given+`}`)["id"].(string)
		require.Equal(t, c.want, get[object](t, f, "/api/v1/jobs/"+id)["priority"], c.given)
	}
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, queues+"q/jobs", `{"name": "n", "priority": "hihg"}`)
	require.Equal(t, "/priority", wrong.Errors[0].Pointer)
	require.Contains(t, wrong.Errors[0].Detail, "critical")
}

func TestARequestsTraceGoesToTheJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceOf := func(job string, headers ...string) any {
		id := call[object](t, f, http.MethodPost, queues+"q/jobs", job, headers...)["id"].(string)
		return get[object](t, f, "/api/v1/jobs/"+id)["traceContext"]
	}
	require.Equal(t, trace, traceOf(`{"name": "n"}`, "traceparent", trace))
	require.Equal(t, "own", traceOf(`{"name": "n", "traceContext": "own"}`, "traceparent", trace))
	require.Nil(t, traceOf(`{"name": "n"}`, "traceparent", "not one"))
	ids := call[object](t, f, http.MethodPost, queues+"q/jobs/batch", `[{"name": "n"}]`, "traceparent", trace)["ids"].([]any)
	require.Equal(t, trace, get[object](t, f, "/api/v1/jobs/"+ids[0].(string))["traceContext"])
}

func TestABatchIsAllOrNothingAndNamesTheJobThatIsWrong(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := queues + "q/jobs/batch"
	good := call[object](t, f, http.MethodPost, path, `[{"name": "a"}, {"name": "b", "priority": "high"}]`)["ids"].([]any)
	require.Len(t, good, 2)
	require.Equal(t, "b", get[object](t, f, "/api/v1/jobs/"+good[1].(string))["name"])
	good = call[object](t, f, http.MethodPost, path, lines(`{"name": "c"}`, ``, `{"name": "d", "data": [1]}`), "Content-Type", "application/x-ndjson")["ids"].([]any)
	require.Len(t, good, 2)
	require.Equal(t, "d", get[object](t, f, "/api/v1/jobs/"+good[1].(string))["name"])

	for _, c := range []struct {
		name, body, media, pointer string
	}{
		{"a bad priority in an array", `[{"name": "a"}, {"name": "b", "priority": "hihg"}]`, "application/json", "/1/priority"},
		{"a bad priority on a line", lines(`{"name": "a"}`, `{"name": "b"}`, `{"name": "c", "priority": "hihg"}`), "application/x-ndjson", "/2/priority"},
		{"a line that is no JSON", lines(`{"name": "a"}`, `{"name": `), "application/x-ndjson", "/1"},
		{"a strategy out of bounds", lines(`{"name": "a"}`, `{"name": "b", "retryStrategy": {"maxAttempts": 0}}`), "application/x-ndjson", "/1/retryStrategy/maxAttempts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := ask[int](t, f, "SELECT count(*) FROM penstock.jobs")
			wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, path, c.body, "Content-Type", c.media)
			require.Equal(t, c.pointer, wrong.Errors[0].Pointer)
			require.Equal(t, before, ask[int](t, f, "SELECT count(*) FROM penstock.jobs"), "nothing is enqueued")
		})
	}
}

func TestABatchTakesTenThousandJobsAndNotOneMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	most := strings.Repeat(`{"name":"n"}`+"\n", 10_000)
	ids := call[object](t, f, http.MethodPost, queues+"q/jobs/batch", most, "Content-Type", "application/x-ndjson")["ids"].([]any)
	require.Len(t, ids, 10_000)
	f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, queues+"q/jobs/batch", most+`{"name":"n"}`, "Content-Type", "application/x-ndjson")
	f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, queues+"q/jobs/batch", `[]`)
	require.Equal(t, 10_000, ask[int](t, f, "SELECT count(*) FROM penstock.jobs"))
}
