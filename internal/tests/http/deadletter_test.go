package http_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The seed's interface DeadLetterQueueItem, field by field.
func TestAnEntryHasTheSeedsFields(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	entry := f.kill(t, "deploy-contract", 1)[0]
	page := get[list[object]](t, f, "/api/v1/queue/enhanced/deploy-contract/dlq?limit=50")
	require.Len(t, page.Items, 1)
	item := page.Items[0]
	require.Equal(t, entry, item["id"])
	require.Equal(t, []any{"deploy", object{"n": 1.0}, "it broke", 1.0, 5.0, "deploy-contract"},
		[]any{item["name"], item["data"], item["error"], item["attempts"], item["maxAttempts"], item["queueName"]})
	require.WithinDuration(t, time.Now(), moment(t, item["failedAt"]), time.Minute)
	strategy := item["retryStrategy"].(object)
	require.Equal(t, []any{"exponential", 5000.0, 5.0, 2.0, 300000.0},
		[]any{strategy["type"], strategy["delay"], strategy["maxAttempts"], strategy["backoffMultiplier"], strategy["maxDelay"]})
	require.IsType(t, true, item["canRetry"])
	require.Equal(t, item, get[object](t, f, queues+"deploy-contract/dlq/"+entry))

	stats := get[object](t, f, "/api/v1/queue/enhanced/deploy-contract/dlq/stats")
	require.Equal(t, 1.0, stats["total"])
	require.Equal(t, 1.0, stats["retryable"].(float64)+stats["nonRetryable"].(float64))
}

func TestAnEntryIsRetriedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	entries := f.kill(t, "q", 2)
	path := "/api/v1/queue/enhanced/q/dlq/" + entries[0] + "/retry"
	answer := post[object](t, f, path, nil)
	require.Equal(t, true, answer["success"])
	job := get[object](t, f, "/api/v1/jobs/"+answer["jobId"].(string))
	require.Equal(t, []any{"waiting", 1.0, object{"n": 1.0}}, []any{job["state"], job["generation"], job["data"]})
	require.Equal(t, answer, post[object](t, f, path, nil), "repeating it gives the same job")
	origin := get[object](t, f, "/api/v1/jobs/"+job["originId"].(string))
	require.Equal(t, []any{"redriven", job["id"], []any{job["id"]}}, []any{origin["state"], origin["redrivenAs"], origin["descendants"]})

	edited := post[object](t, f, queues+"q/dlq/"+entries[1]+"/retry", object{"data": object{"n": 2}})
	require.Equal(t, object{"n": 2.0}, get[object](t, f, "/api/v1/jobs/"+edited["jobId"].(string))["data"])

	f.refused(t, http.StatusNotFound, "dead_job_not_found", http.MethodPost, queues+"q/dlq/dlq_7_1/retry", nil)
	f.refused(t, http.StatusNotFound, "dead_job_not_found", http.MethodGet, queues+"other/dlq/"+entries[0], nil)
	f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, queues+"q/dlq/dlq_123", nil)
}

func TestScheduledRetriesAreProcessed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, "q", 2)
	require.Equal(t, object{"retriedIds": []any{}}, post[object](t, f, "/api/v1/queue/enhanced/q/dlq/process-retries", nil))
	f.exec(t, "UPDATE penstock.dead_jobs SET can_retry = true, next_retry_at = now()")
	retried := post[object](t, f, "/api/v1/queue/enhanced/q/dlq/process-retries", nil)["retriedIds"].([]any)
	require.Len(t, retried, 2)
	require.Equal(t, "waiting", get[object](t, f, "/api/v1/jobs/"+retried[0].(string))["state"])
	require.Empty(t, get[list[object]](t, f, queues+"q/dlq").Items)
}

func TestAPurgeSparesTheYoungUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	entries := f.kill(t, "q", 3)
	purge := func(query string) object {
		return call[object](t, f, http.MethodDelete, "/api/v1/queue/enhanced/q/dlq/purge"+query, nil)
	}
	f.exec(t, "UPDATE penstock.dead_jobs SET failed_at = now() - interval '29 days'")
	f.exec(t, "UPDATE penstock.dead_jobs SET failed_at = now() - interval '31 days' WHERE 'dlq_' || job_id || '_1' = $1", entries[0])
	require.Equal(t, object{"purged": 1.0, "more": false}, purge(""), "older than 30 days")
	require.Equal(t, object{"purged": 0.0, "more": false}, purge("?olderThan=0&name=other"))
	require.Equal(t, object{"purged": 2.0, "more": false}, purge("?olderThan=0&class=Boom"))
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodDelete, queues+"q/dlq/purge?olderThan=-1", nil)
	require.Equal(t, "olderThan", wrong.Errors[0].Pointer)
	require.Equal(t, "dead_jobs.purge", get[list[object]](t, f, "/api/v1/audit-log?limit=1").Items[0]["action"])
}

func TestTheDeadAreFilteredCountedAndPaged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, "q", 3)
	f.kill(t, "other", 1)
	require.Len(t, get[list[object]](t, f, queues+"*/dlq").Items, 4, "* is every queue")
	first := get[list[object]](t, f, queues+"q/dlq?limit=2")
	require.Len(t, get[list[object]](t, f, queues+"q/dlq?limit=2&cursor="+first.Next).Items, 1)
	fingerprint := first.Items[0]["fingerprint"].(string)
	for query, want := range map[string]int{
		"reason=non_retryable":            3,
		"reason=timeout":                  0,
		"class=Boom":                      3,
		"fingerprint=" + fingerprint:      3,
		"name=other":                      0,
		"tag=t":                           0,
		"failedFrom=2020-01-01T00:00:00Z": 3,
		"failedTo=2020-01-01T00:00:00Z":   0,
		"canRetry=false":                  3,
		"canRetry=true":                   0,
		"data=%24.n%20%3D%3D%201":         3,
	} {
		require.Len(t, get[list[object]](t, f, queues+"q/dlq?"+query).Items, want, query)
		count := get[object](t, f, queues+"q/dlq/count?"+query)
		require.Equal(t, []any{float64(want), false}, []any{count["jobs"], count["capped"]}, query)
		require.Len(t, count["sampleJobIds"], want, query)
	}
	require.Equal(t, 4.0, get[object](t, f, queues+"*/dlq/stats")["total"])
}

func TestErrorGroupsAreResolvedAndReopened(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, "q", 2)
	group := func() object {
		groups := get[list[object]](t, f, queues+"q/dlq/groups?limit=10").Items
		require.Len(t, groups, 1)
		return groups[0]
	}
	require.Equal(t, []any{2.0, "Boom", false}, []any{group()["jobs"], group()["errorClass"], group()["resolved"]})
	path := queues + "q/dlq/groups/" + group()["fingerprint"].(string)
	post[object](t, f, path+"/resolve", nil)
	require.Equal(t, true, group()["resolved"])
	post[object](t, f, path+"/reopen", nil)
	require.Equal(t, false, group()["resolved"])
	f.refused(t, http.StatusNotFound, "dead_job_not_found", http.MethodPost, queues+"q/dlq/groups/unheard/resolve", nil)
}

func TestTheDeadLetterPolicyIsChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	policy := get[object](t, f, queues+"q/dlq/policy")
	require.Equal(t, float64((30 * 24 * time.Hour).Milliseconds()), policy["retention"])
	changed := call[object](t, f, http.MethodPatch, queues+"q/dlq/policy", object{"delay": 60000, "maxGenerations": 2})
	require.Equal(t, []any{60000.0, 2.0, policy["retention"]}, []any{changed["delay"], changed["maxGenerations"], changed["retention"]})
	call[object](t, f, http.MethodPatch, queues+"*/dlq/policy", object{"multiplier": 3, "retention": 7200000})
	require.Equal(t, []any{3.0, 7200000.0}, []any{get[object](t, f, queues+"q/dlq/policy")["multiplier"], get[object](t, f, queues+"new/dlq/policy")["retention"]})
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPatch, queues+"q/dlq/policy", object{"delay": 1})
	require.Equal(t, "/delay", wrong.Errors[0].Pointer)
}

func TestARedriveIsStartedWatchedAndSteered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kill(t, "q", 3)
	recorder := f.send(t, http.MethodPost, queues+"q/dlq/redrive", object{"filter": object{"class": "Boom"}, "rate": 10, "canary": 1, "canaryShare": 0.9, "maxGeneration": 3})
	require.Equal(t, http.StatusCreated, recorder.Code)
	path := recorder.Header().Get("Location")
	redrive := get[object](t, f, path)
	require.Equal(t, []any{"running", 3.0, 10.0, 1.0, 0.9, 3.0, object{"class": "Boom"}},
		[]any{redrive["state"], redrive["total"], redrive["rate"], redrive["canary"], redrive["canaryShare"], redrive["maxGeneration"], redrive["filter"]})
	f.refused(t, http.StatusConflict, "conflict", http.MethodPost, queues+"q/dlq/redrive", object{"filter": object{}})
	require.Equal(t, "paused", post[object](t, f, path+"/pause", nil)["state"])
	require.Equal(t, "running", post[object](t, f, path+"/resume", nil)["state"])
	require.Equal(t, "cancelled", post[object](t, f, path+"/cancel", nil)["state"])
	require.Len(t, get[list[object]](t, f, "/api/v1/redrives?queueName=q").Items, 1)
	require.Empty(t, get[list[object]](t, f, "/api/v1/redrives?queueName=other&limit=1").Items)
	f.refused(t, http.StatusNotFound, "redrive_not_found", http.MethodGet, "/api/v1/redrives/99", nil)
	f.refused(t, http.StatusNotFound, "redrive_not_found", http.MethodPost, "/api/v1/redrives/99/pause", nil)
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, queues+"q/dlq/redrive", object{"filter": object{}, "rate": 0})
	require.Equal(t, "/rate", wrong.Errors[0].Pointer)
}
