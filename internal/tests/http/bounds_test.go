package http_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type listed struct {
	Items []map[string]any
	Next  string
}

func decodeList(t *testing.T, recorder *httptest.ResponseRecorder) (page listed) {
	t.Helper()
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &page))
	return page
}

// A number of five characters is stored, and answered, with 309.
func TestAPageOfLargeJobsIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `SELECT penstock.enqueue_many('q', array_fill('n'::text, ARRAY[30]),
		array_fill(('[' || repeat('1e308,', 3299) || '1e308]')::jsonb, ARRAY[30]))`)
	seen, cursor, pages := map[string]bool{}, "", 0
	for pages = 1; ; pages++ {
		recorder := f.send(t, "GET", "/api/v1/jobs?queueName=q&limit=500"+cursor, nil)
		require.Equal(t, http.StatusOK, recorder.Code)
		require.Less(t, recorder.Body.Len(), 6<<20, "4 MiB, and the job that goes beyond")
		page := decodeList(t, recorder)
		require.NotEmpty(t, page.Items)
		for _, job := range page.Items {
			require.False(t, seen[job["id"].(string)])
			seen[job["id"].(string)] = true
		}
		if page.Next == "" {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
	require.Len(t, seen, 30)
	require.Greater(t, pages, 5)
}

func TestAQuietQueuesJobsAreInOnePageHoweverManyOthersAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	quiet := map[string]bool{}
	enqueue := func() {
		quiet[post[map[string]any](t, f, queues+"a1/jobs", map[string]any{"name": "n"})["id"].(string)] = true
	}
	loud := func() {
		for range 5 {
			f.exec(t, "SELECT penstock.enqueue_many('loud', array_fill('n'::text, ARRAY[10000]), array_fill('{}'::jsonb, ARRAY[10000]))")
		}
	}
	for range 4 {
		enqueue()
	}
	loud()
	enqueue()
	loud()
	page := get[listed](t, f, "/api/v1/jobs?queueName=a1&limit=5")
	require.Len(t, page.Items, 5)
	for _, job := range page.Items {
		require.True(t, quiet[job["id"].(string)])
	}
	for _, state := range []string{"waiting"} {
		require.Len(t, get[listed](t, f, "/api/v1/jobs?queueName=a1&limit=5&state="+state).Items, 5)
	}
	// A cursor names no job of another queue.
	page = get[listed](t, f, "/api/v1/jobs?queueName=a1&limit=1")
	decoded, err := base64.RawURLEncoding.DecodeString(page.Next)
	require.NoError(t, err)
	require.Contains(t, string(decoded), page.Items[0]["id"].(string))
}

// NUL and half an emoji are cleaned in texts; a result that cannot be stored spoils its
// own attempt only.
func TestOneUnstorableAttemptDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	f := ofRemote(t)
	w := register(t, f, object{"queues": []string{"q"}})
	for range 4 {
		post[map[string]any](t, f, queues+"q/jobs", map[string]any{"name": "n"})
	}
	jobs := claimed(t, f, w, object{"claimId": "c", "limit": 4})
	require.Len(t, jobs, 4)
	end := func(i int, rest string) string {
		return `{"queueName":"q","id":"` + jobs[i].ID + `","attempt":1,` + rest + `}`
	}
	body := `{"attempts":[` + strings.Join([]string{
		end(0, `"outcome":"failed","error":"bad \u0000","detail":"\ud83d"`),
		end(1, `"outcome":"completed","result":{"a":"\u0000"}`),
		end(2, `"outcome":"completed","result":{"a":1}`),
		end(3, `"outcome":"completed","result":"\ud83d"`),
	}, ",") + `]}`
	answer := post[struct {
		Attempts []struct{ ID, Status, Message string }
	}](t, f, w+"/finish", body)
	var statuses []string
	for i, a := range answer.Attempts {
		require.Equal(t, jobs[i].ID, a.ID)
		statuses = append(statuses, a.Status)
	}
	require.Equal(t, []string{"accepted", "refused", "accepted", "refused"}, statuses)
	require.Contains(t, answer.Attempts[1].Message, `\u0000`)
	require.Equal(t, "bad \uFFFD", ask[string](t, f, "SELECT message FROM penstock.attempts WHERE job_id = $1", jobs[0].ID))
	require.Equal(t, 2, ask[int](t, f, "SELECT count(*) FROM penstock.running"), "the refused ones can end otherwise")
}

func TestAProblemSaysWhatIsWrongInTheAPIsWords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.refused(t, 400, "invalid_argument", "POST", queues+"q/jobs", `{"name":"n","maxAttempts":0}`)
	require.Equal(t, "/maxAttempts must be at least 1. Nothing was changed.", p.Detail)
	p = f.refused(t, 400, "invalid_argument", "POST", queues+"q/jobs", `{"nome":"n"}`)
	require.Contains(t, p.Detail, "and 1 more field is wrong")
	for _, whole := range []string{`{"name":"n","maxAttempts":3.0}`, `{"name":"n","priority":1e1}`, `{"name":"n","priority":{"weight":10.0}}`} {
		require.Equal(t, http.StatusCreated, f.send(t, "POST", queues+"q/jobs", whole).Code, whole)
	}
	p = f.refused(t, 400, "invalid_argument", "POST", queues+"q/jobs", "\xef\xbb\xbf{\"name\":\"n\"}")
	require.Contains(t, p.Detail, "byte order mark")
	p = f.refused(t, 400, "invalid_argument", "GET", queues+"q/dlq/dlq_1", nil)
	require.Equal(t, "dlqItemId", p.Errors[0].Pointer)
	for _, list := range []string{"/api/v1/queues", "/api/v1/redrives", "/api/v1/queues/*/priority-rules", "/api/v1/workers?queueName=nowhere"} {
		require.NotContains(t, f.send(t, "GET", list, nil).Body.String(), "null", list)
	}
}

func TestListsOfQueuesComeInPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, queue := range []string{"a", "b", "c"} {
		f.enqueue(t, queue, object{"name": "n"})
	}
	for _, c := range []struct{ path, field, name string }{
		{"/api/v1/queues", "items", "queueName"}, {queues + "metrics/all", "queues", "queueName"}, {"/api/v1/health", "queues", "queueName"},
	} {
		var names []string
		cursor := ""
		for range 10 {
			page := get[object](t, f, c.path+"?limit=2"+cursor)
			items := page[c.field].([]any)
			require.LessOrEqual(t, len(items), 2)
			for _, item := range items {
				names = append(names, item.(object)[c.name].(string))
			}
			next, more := page["next"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + url.QueryEscape(next)
		}
		require.Equal(t, []string{"a", "b", "c"}, names[:3], c.path)
		require.IsIncreasing(t, names)
	}
}
