package http_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/remote"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/httpapi"
)

// ofRemote is the fixture's API once more, with a Remote that runs until the test ends.
func ofRemote(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	remote, err := remote.New(f.client)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); remote.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	f.echo = httpapi.New(httpapi.Deps{Client: f.client, Remote: remote, Loopback: true})
	return f
}

type remoteJob struct {
	ID, QueueName, Name string
	Attempt             int
	Data                any
}

func register(t *testing.T, f *fixture, body object) string {
	t.Helper()
	recorder := f.send(t, http.MethodPost, "/api/v1/workers", body)
	require.Equal(t, http.StatusCreated, recorder.Code, recorder.Body.String())
	registered := decode[struct {
		ID                       string
		HeartbeatInterval, Lease int
	}](t, recorder)
	require.Equal(t, "/api/v1/workers/"+registered.ID, recorder.Header().Get("Location"))
	require.Equal(t, 5000, registered.HeartbeatInterval)
	require.Equal(t, 15000, registered.Lease)
	return "/api/v1/workers/" + registered.ID
}

func claimed(t *testing.T, f *fixture, worker string, body object) []remoteJob {
	t.Helper()
	return post[struct{ Jobs []remoteJob }](t, f, worker+"/claim", body).Jobs
}

func finished(t *testing.T, f *fixture, worker string, ends ...object) []string {
	t.Helper()
	answer := post[struct {
		Attempts []struct{ Status, State string }
	}](t, f, worker+"/finish", object{"attempts": ends})
	words := []string{}
	for _, a := range answer.Attempts {
		words = append(words, a.Status+" "+a.State)
	}
	return words
}

func endOf(j remoteJob, outcome string, more ...any) object {
	end := object{"queueName": j.QueueName, "id": j.ID, "attempt": j.Attempt, "outcome": outcome}
	for i := 0; i < len(more); i += 2 {
		end[more[i].(string)] = more[i+1]
	}
	return end
}

func TestAWorkersWholeDay(t *testing.T) {
	t.Parallel()
	f := ofRemote(t)
	for range 5 {
		post[object](t, f, queues+"q/jobs", object{"name": "n", "data": object{"to": "ada"}})
	}
	w := register(t, f, object{"queues": []string{"q"}, "host": "h", "pid": 7, "version": "v2", "concurrency": 4, "handlers": []string{"q n"}})
	jobs := claimed(t, f, w, object{"claimId": "c1", "limit": 10})
	require.Len(t, jobs, 5)
	require.Equal(t, remoteJob{ID: jobs[0].ID, QueueName: "q", Name: "n", Attempt: 1, Data: object{"to": "ada"}}, jobs[0])
	require.Equal(t, jobs, claimed(t, f, w, object{"claimId": "c1", "limit": 10}), "a repeat answers the same") // P3

	held := []object{}
	for _, j := range jobs {
		held = append(held, object{"id": j.ID, "attempt": j.Attempt})
	}
	post[object](t, f, "/api/v1/jobs/"+jobs[4].ID+"/cancel", nil)
	require.Equal(t, object{"cancel": []any{jobs[4].ID}, "lost": []any{}}, post[object](t, f, w+"/heartbeat", object{"held": held}))
	require.Equal(t, object{"lost": []any{}}, post[object](t, f, w+"/progress",
		object{"attempts": []object{{"id": jobs[0].ID, "attempt": 1, "percent": 40, "note": "half"}}}))

	ends := []object{
		endOf(jobs[0], "completed", "result", object{"sent": true}), endOf(jobs[1], "failed", "errorClass", "TimeoutError", "error", "slow"),
		endOf(jobs[2], "dead", "error", "no"), endOf(jobs[3], "snoozed", "delay", 60000), endOf(jobs[4], "cancelled"),
	}
	want := []string{"accepted completed", "accepted retrying", "accepted dead", "accepted waiting", "accepted cancelled"}
	require.Equal(t, want, finished(t, f, w, ends...))
	for _, word := range finished(t, f, w, ends...) {
		require.Equal(t, "already_done ", word) // P8
	}
	require.Equal(t, []string{"lease_lost "}, finished(t, f, w, endOf(jobs[0], "failed"))) // P5
	require.Equal(t, object{"lost": []any{jobs[0].ID}}, post[object](t, f, w+"/progress",
		object{"attempts": []object{{"id": jobs[0].ID, "attempt": 1, "percent": 50}}}))

	require.Equal(t, http.StatusNoContent, f.send(t, http.MethodDelete, w, nil).Code)
	f.refused(t, http.StatusGone, "worker_gone", http.MethodPost, w+"/heartbeat", object{})
	f.refused(t, http.StatusGone, "worker_gone", http.MethodPost, w+"/claim", object{"claimId": "c2"})
}

func TestAClaimWaitsForAJob(t *testing.T) {
	t.Parallel()
	f := ofRemote(t)
	w := register(t, f, object{"queues": []string{"q"}})
	got := make(chan []remoteJob, 1)
	go func() { got <- claimed(t, f, w, object{"claimId": "c1", "wait": 30000}) }()
	require.Eventually(t, func() bool {
		return ask[int](t, f, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"+
			" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") > 0
	}, 30*time.Second, time.Millisecond)
	enqueued := post[object](t, f, queues+"q/jobs", object{"name": "n"})
	jobs := <-got
	require.Len(t, jobs, 1)
	require.Equal(t, enqueued["id"], jobs[0].ID)
	require.Empty(t, claimed(t, f, w, object{"claimId": "c2", "wait": 1}))
}

func TestWhatAWorkerSaysWrongIsNamed(t *testing.T) {
	t.Parallel()
	f := ofRemote(t)
	post[object](t, f, queues+"q/jobs", object{"name": "n"})
	w := register(t, f, object{"queues": []string{"q"}})
	job := claimed(t, f, w, object{"claimId": "c1"})[0]
	for _, c := range []struct {
		name, path, pointer string
		body                object
	}{
		{"a worker has queues", "/api/v1/workers", "/queues", object{"queues": []string{}}},
		{"a queue has a name", "/api/v1/workers", "/queues/0", object{"queues": []string{"a b"}}},
		{"a claim has an id", w + "/claim", "/claimId", object{}},
		{"a limit ends at 1000", w + "/claim", "/limit", object{"claimId": "c", "limit": 1001}},
		{"a wait ends at 30 s", w + "/claim", "/wait", object{"claimId": "c", "wait": 30001}},
		{"a claim's queues are the worker's", w + "/claim", "/queues", object{"claimId": "c", "queues": []string{"other"}}},
		{"an id is a number", w + "/finish", "/attempts/0/id", object{"attempts": []object{{"queueName": "q", "id": "x", "attempt": 1, "outcome": "completed"}}}},
		{"an outcome is one of six", w + "/finish", "/attempts/0/outcome", object{"attempts": []object{endOf(job, "lost")}}},
		{"a result is for what completed", w + "/finish", "/attempts/0/result", object{"attempts": []object{endOf(job, "failed", "result", 1)}}},
		{"a percent ends at 100", w + "/progress", "/attempts/0/percent", object{"attempts": []object{{"id": job.ID, "attempt": 1, "percent": 101}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := f.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, c.path, c.body)
			require.Equal(t, c.pointer, p.Errors[0].Pointer)
			require.Equal(t, 1, ask[int](t, f, "SELECT count(*) FROM penstock.running"))
		})
	}
}

func decode[T any](t *testing.T, recorder *httptest.ResponseRecorder) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &v), recorder.Body.String())
	return v
}
