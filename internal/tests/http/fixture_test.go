package http_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi"
	"github.com/penstock/penstock/internal/testkit"
)

const queues = "/api/v1/queues/"

// fixture is a database, a client of it, the API over it, and one registered worker
// that claims and finishes by SQL, as any language may.
type fixture struct {
	*testkit.DB
	client *penstock.Client
	echo   *echo.Echo
	worker int64
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{DB: testkit.New(t)}
	client, err := penstock.NewClient(f.Pool, penstock.Config{})
	require.NoError(t, err)
	f.client = client
	f.echo = httpapi.New(httpapi.Deps{Client: client, Loopback: true, Log: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))})
	f.worker = ask[int64](t, f, "SELECT penstock.register_worker(ARRAY['q'], version => 'v7')")
	return f
}

// ask runs a query of one value past the API.
func ask[T any](t testing.TB, f *fixture, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, f.Pool.QueryRow(context.Background(), sql, args...).Scan(&v), sql)
	return v
}

func (f *fixture) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := f.Pool.Exec(context.Background(), sql, args...)
	require.NoError(t, err, sql)
}

// send asks the API and holds the answer to openapi.yaml. body is marshalled as JSON; a
// string goes as it is, nil is none.
func (f *fixture) send(t *testing.T, method, path string, body any, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(b)
		require.NoError(t, err)
	}
	request := httptest.NewRequest(method, path, bytes.NewReader(text))
	request.Host = "127.0.0.1" // a server without tokens answers no other name
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	f.echo.ServeHTTP(recorder, request)
	// The router says which operation it was; the path may be an alias of its own.
	c := f.echo.NewContext(request, nil)
	route := request.URL.EscapedPath()
	f.echo.Router().Find(method, route, c)
	contract().check(t, request, c.Path(), recorder)
	return recorder
}

// get asks for what is not an operation.
func (f *fixture) get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Host = "127.0.0.1" // a server without tokens answers no other name
	recorder := httptest.NewRecorder()
	f.echo.ServeHTTP(recorder, request)
	return recorder
}

// call asks the API for what must succeed and reads its JSON.
func call[T any](t *testing.T, f *fixture, method, path string, body any, headers ...string) (v T) {
	t.Helper()
	recorder := f.send(t, method, path, body, headers...)
	require.Less(t, recorder.Code, 300, recorder.Body.String())
	if recorder.Code == http.StatusNoContent {
		require.Empty(t, recorder.Body.String())
		return v
	}
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &v), recorder.Body.String())
	return v
}

func get[T any](t *testing.T, f *fixture, path string) T {
	t.Helper()
	return call[T](t, f, http.MethodGet, path, nil)
}

func post[T any](t *testing.T, f *fixture, path string, body any) T {
	t.Helper()
	return call[T](t, f, http.MethodPost, path, body)
}

// problem is a refusal as clients read it.
type problem struct {
	Status int
	Code   string
	Detail string
	Errors []struct{ Pointer, Detail string }
}

// refused asks for what must fail with a status and a code.
func (f *fixture) refused(t *testing.T, status int, code, method, path string, body any, headers ...string) problem {
	t.Helper()
	recorder := f.send(t, method, path, body, headers...)
	require.Equal(t, status, recorder.Code, recorder.Body.String())
	var p problem
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &p))
	require.Equal(t, code, p.Code, recorder.Body.String())
	return p
}

// list is the items of a list.
type list[T any] struct {
	Items []T
	Next  string
}

type object = map[string]any

// number reads an id.
func number(t *testing.T, id any) int64 {
	t.Helper()
	text, ok := id.(string)
	require.True(t, ok, "an id is a string, got %T", id)
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}

// enqueue adds a job over HTTP.
func (f *fixture) enqueue(t *testing.T, queue string, job object) int64 {
	t.Helper()
	return number(t, post[object](t, f, queues+queue+"/jobs", job)["id"])
}

// claim leases up to n due jobs of a queue and returns their ids in order.
func (f *fixture) claim(t *testing.T, queue string, n int) []int64 {
	t.Helper()
	rows, err := f.Pool.Query(t.Context(), "SELECT job_id FROM penstock.claim($1, $2, $3)", queue, f.worker, n)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	return ids
}

// finish ends a running attempt with an outcome, for an error of class Boom.
func (f *fixture) finish(t *testing.T, id int64, outcome string) {
	t.Helper()
	f.exec(t, `SELECT penstock.finish(r.queue, ARRAY[r.job_id], ARRAY[r.attempt], ARRAY[$2], ARRAY['Boom'], ARRAY['it broke'])
		FROM penstock.running r WHERE r.job_id = $1`, id, outcome)
}

// kill enqueues n jobs of a queue that die, and returns their entries' ids.
func (f *fixture) kill(t *testing.T, queue string, n int) (entries []string) {
	t.Helper()
	for range n {
		id := f.enqueue(t, queue, object{"name": "deploy", "data": object{"n": 1}})
		require.Equal(t, []int64{id}, f.claim(t, queue, 1))
		f.finish(t, id, "dead")
		entries = append(entries, "dlq_"+strconv.FormatInt(id, 10)+"_1")
	}
	return entries
}

// moment reads a time of an answer.
func moment(t *testing.T, v any) time.Time {
	t.Helper()
	text, _ := v.(string)
	when, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return when
}

// lines joins JSON documents as NDJSON.
func lines(documents ...string) string { return strings.Join(documents, "\n") + "\n" }
