package httpapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
)

func TestAFullQueueTakesNoMoreOverHTTP(t *testing.T) {
	enqueues["addThing"] = true
	t.Cleanup(func() { delete(enqueues, "addThing") })
	s, e, client := guarded(t, Deps{MaxDepth: 3}, enqueueThing)
	_, token := newTestToken(t, client, penstock.NewToken{Name: "shop", Role: penstock.RoleOperator})
	add := func() (int, string) {
		recorder := send(e, "POST", "/queues/a/things", `{}`, "Content-Type", validate.JSON, "Authorization", "Bearer "+token)
		if recorder.Code < 400 {
			return recorder.Code, ""
		}
		require.Equal(t, "10", recorder.Header().Get("Retry-After"))
		return recorder.Code, problemIn(t, recorder).Code
	}
	for range 3 {
		status, _ := add()
		require.Equal(t, http.StatusCreated, status)
	}
	s.queueLimits.of("a").counted = time.Time{} // ten seconds later
	status, code := add()
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Equal(t, "queue_full", code)

	status, _ = asked(t, e, "GET", "/queues/a/things", token)
	require.Equal(t, http.StatusCreated, status, "only enqueueing is refused")
	_, err := client.Enqueue(t.Context(), penstock.NewJob{Queue: "a", Name: "n"})
	require.NoError(t, err, "and only over HTTP")

	_, err = client.ChangeJobs(t.Context(), penstock.ActionCancel, penstock.JobFilter{Queue: "a", State: penstock.Waiting}, "", nil)
	require.NoError(t, err)
	s.queueLimits.of("a").counted = time.Time{}
	status, _ = add()
	require.Equal(t, http.StatusCreated, status, "until there is room again")
}

func TestNamesOfQueuesDoNotFillTheServer(t *testing.T) {
	d := &queueLimits{queues: map[string]*depth{}}
	for i := range mostQueues + 5 {
		d.of(string(rune(i)) + "q")
	}
	require.Len(t, d.queues, 5)
}
