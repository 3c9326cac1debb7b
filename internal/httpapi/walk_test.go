package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/remote"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi/validate"
	"github.com/penstock/penstock/internal/testkit"
)

// walk is a server with two queues, of which the tokens cover only "mine", and one of
// everything in "foreign".
type walk struct {
	*testing.T
	e      *echo.Echo
	tokens map[role]string
	ids    map[string]string // path parameters of what is in "foreign"
	job    int64
	entry  string
	worker remote.Worker
	client *penstock.Client
}

func newWalk(t *testing.T) *walk {
	db := testkit.New(t)
	client, err := penstock.NewClient(db.Pool, penstock.Config{})
	require.NoError(t, err)
	w := &walk{T: t, client: client, tokens: map[role]string{}}
	w.e = New(Deps{Client: client, Loopback: true, TokenRate: 1_000_000})
	for name, r := range roleNames {
		_, w.tokens[r] = newTestToken(t, client, penstock.NewToken{Name: string(name), Role: name, Queues: []string{"mine"}})
	}

	ctx := t.Context()
	enqueue := func() int64 {
		id, err := client.Enqueue(ctx, penstock.NewJob{Queue: "foreign", Name: "n", Delay: time.Hour})
		require.NoError(t, err)
		return id
	}
	w.job = enqueue()
	dead := enqueue()
	_, err = client.DLQ.Add(ctx, dead, "by hand")
	require.NoError(t, err)
	page, err := client.DLQ.List(ctx, penstock.DeadQuery{Queue: "foreign"})
	require.NoError(t, err)
	w.entry = page.Items[0].ID
	engine, err := remote.New(client)
	require.NoError(t, err)
	w.worker, err = engine.Register(ctx, "another token", remote.Registration{Queues: []string{"foreign"}})
	require.NoError(t, err)
	redrive, err := client.DLQ.Redrive(ctx, penstock.RedriveRequest{Queue: "foreign"})
	require.NoError(t, err)
	w.ids = map[string]string{
		"jobId": strconv.FormatInt(w.job, 10), "dlqItemId": w.entry, "redriveId": strconv.FormatInt(redrive, 10),
		"jobName": "n", "fingerprint": page.Items[0].Fingerprint, "position": "10", "level": "panic", "tag": "vip", "taskName": "dlq-purge",
		"workerId": strconv.FormatInt(w.worker.ID, 10),
	}
	return w
}

// call sends the plainest request of the operation about the queue.
func (w *walk) call(op *validate.Operation, queue, token string) (int, string) {
	w.Helper()
	path, query := op.Route, url.Values{}
	for _, p := range op.Parameters {
		value := queue
		if p.Name != queueParameter {
			value = w.ids[p.Name]
		}
		switch {
		case p.In == "path":
			require.NotEmpty(w, value, "%s: teach the walk a %s", op.ID, p.Name)
			path = strings.Replace(path, ":"+p.Name, url.PathEscape(value), 1)
		case p.In == "query" && p.Required:
			query.Set(p.Name, fmt.Sprint(plainest(p.Schema)))
		}
	}
	var body, media string
	if of := op.Bodies[validate.JSON]; of != nil {
		text, err := json.Marshal(plainest(of))
		require.NoError(w, err)
		body, media = string(text), validate.JSON
	}
	request := newRequest(op.Method, path+"?"+query.Encode(), body, "Content-Type", media, "Authorization", "Bearer "+token)
	recorder := httptest.NewRecorder()
	w.e.ServeHTTP(recorder, request)
	if recorder.Code < 400 {
		return recorder.Code, ""
	}
	return recorder.Code, problemIn(w.T, recorder).Code
}

// plainest is the least that a schema takes.
func plainest(s *validate.Schema) any {
	if s.Alternatives != nil {
		return plainest(s.Alternatives[0])
	}
	takes := func(kind string) bool { return s.Any || slices.Contains(s.Types, kind) }
	switch {
	case s.Enum != nil:
		return s.Enum[0]
	case s.DateTime:
		return "2099-01-31T12:00:00Z"
	case takes("object"):
		object := map[string]any{}
		for _, name := range s.Required {
			object[name] = plainest(s.Properties[name])
		}
		return object
	case takes("array"):
		return []any{plainest(s.Items)}
	case takes("integer"), takes("number"):
		return 1
	case takes("boolean"):
		return true
	}
	return "high"
}

// TestEveryRoleReachesItsOperationsAndNoForeignQueue walks operations × roles × queues.
func TestEveryRoleReachesItsOperationsAndNoForeignQueue(t *testing.T) {
	t.Parallel()
	w := newWalk(t)
	operations := served(t).Operations
	for _, route := range slices.Sorted(maps.Keys(operations)) {
		op := operations[route]
		if roles[op.ID] == public {
			continue
		}
		for _, r := range roleNames {
			status, code := w.call(op, "mine", w.tokens[r])
			if roles[op.ID]&r == 0 {
				require.Equal(t, "forbidden", code, "%s by %v", op.ID, r)
				continue
			}
			require.NotContains(t, []string{"forbidden", "unauthorized"}, code, "%s by %v", op.ID, r)
			require.Less(t, status, 500, "%s by %v", op.ID, r)
			if w.namesForeign(op) {
				require.Equal(t, http.StatusNotFound, status, "%s by %v sees what is in a foreign queue: %s", op.ID, r, code)
			}
			if aboutEverything[op.ID] {
				require.Equal(t, "forbidden_queue", code, "%s by %v", op.ID, r)
			}
			if op.Parameter(queueParameter) != nil && op.Parameter(queueParameter).In == "path" {
				for _, queue := range []string{"foreign", every} {
					_, code = w.call(op, queue, w.tokens[r])
					require.Equal(t, "forbidden_queue", code, "%s by %v in queue %s", op.ID, r, queue)
				}
			}
		}
	}
	w.refusesUnknown(operations)

	job, err := w.client.Job(t.Context(), w.job)
	require.NoError(t, err)
	require.Equal(t, penstock.Scheduled, job.State, "nothing of it changed a foreign job")
	require.False(t, job.CancelRequested)
	page, err := w.client.DLQ.List(t.Context(), penstock.DeadQuery{Queue: "foreign"})
	require.NoError(t, err)
	require.Equal(t, w.entry, page.Items[0].ID)
	_, err = w.worker.Heartbeat(t.Context(), nil)
	require.NoError(t, err, "another token's worker is where it was")
}

// refusesUnknown calls every operation with an unknown token, all at once, because each
// answer is held back for a while.
func (w *walk) refusesUnknown(operations map[string]*validate.Operation) {
	w.Helper()
	var calls sync.WaitGroup
	for _, op := range operations {
		if roles[op.ID] == public {
			continue
		}
		calls.Go(func() {
			if status, code := w.call(op, "mine", "pen_unknown_unknown"); status != http.StatusUnauthorized {
				w.Errorf("%s with an unknown token answers %d: %s", op.ID, status, code)
			}
		})
	}
	calls.Wait()
}

// aboutEverything are operations that need a token of every queue though their path names
// none.
var aboutEverything = map[string]bool{
	"getAllHealth": true, "getAllMetrics": true, "pauseTask": true, "resumeTask": true, "runTask": true,
}

// namesForeign reports whether the operation is about one thing by its id.
func (w *walk) namesForeign(op *validate.Operation) bool {
	for _, name := range []string{"jobId", "dlqItemId", "redriveId"} {
		if op.Parameter(name) != nil {
			return true
		}
	}
	return false
}
