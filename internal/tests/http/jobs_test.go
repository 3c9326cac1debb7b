package http_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/httpapi"
)

func jobPath(id int64) string { return fmt.Sprintf("/api/v1/jobs/%d", id) }

func TestAJobIsToldWithItsAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, "q", object{"name": "n", "data": object{"n": 1}})
	require.Equal(t, []int64{id}, f.claim(t, "q", 1))
	require.Equal(t, "running", get[object](t, f, jobPath(id))["state"])
	f.finish(t, id, "failed")
	f.exec(t, "UPDATE penstock.pending SET run_at = now()")
	require.Equal(t, []int64{id}, f.claim(t, "q", 1))
	f.finish(t, id, "completed")

	job := get[object](t, f, jobPath(id))
	require.Equal(t, []any{"completed", 2.0, 1.0}, []any{job["state"], job["attempt"], job["failures"]})
	attempts := job["attempts"].([]any)
	require.Len(t, attempts, 2)
	require.Equal(t, []any{"failed", "Boom", "it broke"}, []any{attempts[0].(object)["outcome"], attempts[0].(object)["errorClass"], attempts[0].(object)["error"]})
	f.refused(t, http.StatusNotFound, "job_not_found", http.MethodGet, "/api/v1/jobs/2063100000000042", nil)
}

func TestJobsAreListedByFilterAndPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 5 {
		f.enqueue(t, "q", object{"name": "n", "data": object{"i": i}, "tags": []string{"even", "odd"}[i%2 : i%2+1]})
	}
	f.enqueue(t, "other", object{"name": "m", "delay": 60000})

	first := get[list[object]](t, f, "/api/v1/jobs?limit=2&queueName=q")
	require.Len(t, first.Items, 2)
	second := get[list[object]](t, f, "/api/v1/jobs?limit=2&queueName=q&cursor="+first.Next)
	third := get[list[object]](t, f, "/api/v1/jobs?limit=2&queueName=q&cursor="+second.Next)
	require.Len(t, third.Items, 1)
	require.Empty(t, third.Next)
	require.Greater(t, number(t, first.Items[0]["id"]), number(t, third.Items[0]["id"]), "the newest first")

	for query, want := range map[string]int{
		"":                                   6,
		"state=scheduled":                    1,
		"name=m":                             1,
		"tag=even":                           3,
		"data=" + url.QueryEscape("$.i > 2"): 2,
		"enqueuedTo=2020-01-01T00:00:00Z":    0,
		"enqueuedFrom=2020-01-01T00:00:00Z":  6,
		"class=Boom":                         0,
	} {
		require.Len(t, get[list[object]](t, f, "/api/v1/jobs?"+query).Items, want, query)
		require.Equal(t, object{"jobs": float64(want), "capped": false}, get[object](t, f, "/api/v1/jobs/count?"+query), query)
	}
	require.Equal(t, object{"jobs": 2.0, "capped": true}, get[object](t, f, "/api/v1/jobs/count?most=2"))
	f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, "/api/v1/jobs?cursor="+first.Next, nil)
	wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, "/api/v1/jobs?limit=501", nil)
	require.Equal(t, "limit", wrong.Errors[0].Pointer)
}

func TestAWaitingJobIsChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, "q", object{"name": "n", "delay": 60000})
	require.Equal(t, 20.0, post[object](t, f, jobPath(id)+"/reprioritize", object{"priority": "critical"})["priority"])
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	require.True(t, at.Equal(moment(t, post[object](t, f, jobPath(id)+"/reschedule", object{"runAt": at})["runAt"])))
	require.Equal(t, "waiting", post[object](t, f, jobPath(id)+"/run-now", nil)["state"])
	require.Equal(t, "dead", post[object](t, f, jobPath(id)+"/dead-letter", object{"message": "not today"})["state"])
	require.Equal(t, "not today", get[list[object]](t, f, queues+"q/dlq").Items[0]["error"])

	f.refused(t, http.StatusConflict, "conflict", http.MethodPost, jobPath(id)+"/run-now", nil)
	f.refused(t, http.StatusConflict, "conflict", http.MethodPost, jobPath(id)+"/dead-letter", nil)
	f.refused(t, http.StatusNotFound, "job_not_found", http.MethodPost, "/api/v1/jobs/7/run-now", nil)
}

func TestCancelSaysWhatItMet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, "q", object{"name": "n"})
	require.Equal(t, object{"result": "cancelled"}, post[object](t, f, jobPath(id)+"/cancel", nil))
	require.Equal(t, object{"result": "finished"}, post[object](t, f, jobPath(id)+"/cancel", nil))
	id = f.enqueue(t, "q", object{"name": "n"})
	f.claim(t, "q", 1)
	require.Equal(t, object{"result": "cancelling"}, post[object](t, f, jobPath(id)+"/cancel", nil))
	require.Equal(t, true, get[object](t, f, jobPath(id))["cancelRequested"])
	f.refused(t, http.StatusNotFound, "job_not_found", http.MethodPost, "/api/v1/jobs/7/cancel", nil)
}

func TestManyJobsAreChangedByFilter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 3 {
		f.enqueue(t, "q", object{"name": "n", "delay": 60000})
	}
	other := f.enqueue(t, "other", object{"name": "n", "delay": 60000})
	filter := object{"queueName": "q", "state": "scheduled"}
	change := func(body object) object { return post[object](t, f, "/api/v1/jobs/change", body) }
	require.Equal(t, object{"changed": 3.0, "more": false}, change(object{"action": "reprioritize", "filter": filter, "priority": 9}))
	at := time.Now().Add(time.Hour).UTC()
	require.Equal(t, object{"changed": 3.0, "more": false}, change(object{"action": "reschedule", "filter": filter, "runAt": at}))
	require.Equal(t, object{"changed": 3.0, "more": false}, change(object{"action": "run_now", "filter": filter}))
	require.Equal(t, object{"changed": 3.0, "more": false}, change(object{"action": "cancel", "filter": object{"queueName": "q"}}))
	require.Equal(t, "scheduled", get[object](t, f, jobPath(other))["state"])

	for pointer, body := range map[string]object{
		"/runAt":    {"action": "reschedule", "filter": filter},
		"/priority": {"action": "reprioritize", "filter": filter},
		"/action":   {"action": "explode", "filter": filter},
		"/filter":   {"action": "cancel"},
	} {
		wrong := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, "/api/v1/jobs/change", body)
		require.Equal(t, pointer, wrong.Errors[0].Pointer)
	}
}

func TestExplainSaysWhyAJobWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, "quiet", object{"name": "n", "delay": 60000})
	explanation := get[object](t, f, jobPath(id)+"/explain")
	require.Equal(t, false, explanation["claimable"])
	require.Equal(t, "scheduled", explanation["reasons"].([]any)[0].(object)["code"])
	f.refused(t, http.StatusNotFound, "job_not_found", http.MethodGet, "/api/v1/jobs/7/explain", nil)
}

func TestWaitAnswersWhenTheJobEndsOrTheTimeIsUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, "q", object{"name": "n"})
	require.Equal(t, "waiting", get[object](t, f, jobPath(id)+"/wait?timeout=0")["state"])
	answered := make(chan object, 1)
	go func() { answered <- get[object](t, f, jobPath(id)+"/wait") }()
	require.Equal(t, []int64{id}, f.claim(t, "q", 1))
	f.finish(t, id, "completed")
	require.Equal(t, "completed", (<-answered)["state"])
	f.refused(t, http.StatusNotFound, "job_not_found", http.MethodGet, "/api/v1/jobs/7/wait", nil)
}

func TestWaitEndsWhenTheServerDrains(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.enqueue(t, "q", object{"name": "n", "delay": 60000})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, drain := context.WithCancel(t.Context())
	defer drain()
	ended := make(chan error, 1)
	arrived := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		f.echo.ServeHTTP(w, r)
	})
	go func() { ended <- httpapi.Serve(ctx, listener, handler, httpapi.ServeConfig{}) }()

	status := make(chan int, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + listener.Addr().String() + jobPath(id) + "/wait")
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	<-arrived
	began := time.Now()
	drain()
	require.Equal(t, http.StatusOK, <-status)
	require.NoError(t, <-ended)
	require.Less(t, time.Since(began), 20*time.Second, "it would have waited for 30 s")
}
