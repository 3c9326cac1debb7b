package http_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/httpapi"
)

// ownDeadline is how long each request of these tests may take. It is no figure of
// speed: it is what an ordinary client would wait on a busy machine.
const ownDeadline = 20 * time.Second

// within sends one request that gives up after ownDeadline, and returns its status.
func (f *fixture) within(method, path, body string, headers ...string) int {
	ctx, cancel := context.WithTimeout(context.Background(), ownDeadline)
	defer cancel()
	request := httptest.NewRequest(method, path, strings.NewReader(body)).WithContext(ctx)
	request.Host = "127.0.0.1"
	if body == "" {
		request.Body, request.ContentLength = http.NoBody, 0
	} else {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	f.echo.ServeHTTP(recorder, request)
	if ctx.Err() != nil {
		return 0
	}
	return recorder.Code
}

// pooled gives the API pools as the server has them.
func (f *fixture) pooled(t *testing.T) {
	t.Helper()
	client := func(connections int32) *penstock.Client {
		cfg := f.Pool.Config()
		cfg.MaxConns = connections
		pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		c, err := penstock.NewClient(pool, penstock.Config{})
		require.NoError(t, err)
		return c
	}
	f.client = client(4)
	f.echo = httpapi.New(httpapi.Deps{Client: f.client, Reports: client(2), Keyed: client(2), System: client(2), Loopback: true})
}

// A keyed request holds a connection to its end: it must not need another.
func TestManyKeyedCallsOfWorkersDoNotStopTheServer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	worker := post[map[string]any](t, f, "/api/v1/workers", map[string]any{"queues": []string{"q"}})["id"].(string)
	statuses := make(chan int, 80)
	for i := range 40 {
		go func() {
			statuses <- f.within("POST", "/api/v1/workers/"+worker+"/heartbeat", `{}`, "Idempotency-Key", fmt.Sprint("beat-", i))
		}()
		go func() {
			statuses <- f.within("POST", queues+"q/jobs", `{"name":"n"}`, "Idempotency-Key", fmt.Sprint("job-", i))
		}()
	}
	for range cap(statuses) {
		require.Contains(t, []int{http.StatusOK, http.StatusCreated}, <-statuses)
	}
}

// However many wait for jobs, one statement at a time asks for all of them.
func TestTwoThousandWaitsAskTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := post[map[string]any](t, f, queues+"q/jobs", map[string]any{"name": "n"})["id"].(string)
	const waits = 2000
	statuses := make(chan int, waits)
	for range waits {
		go func() { statuses <- f.within("GET", "/api/v1/jobs/"+id+"/wait?timeout=15000", "") }()
	}
	time.Sleep(2 * time.Second)
	before := f.Pool.Stat().AcquireCount()
	time.Sleep(2 * time.Second)
	require.Less(t, f.Pool.Stat().AcquireCount()-before, int64(250), "two polls a second each would be 8,000")
	require.Equal(t, http.StatusCreated, f.within("POST", queues+"q/jobs", `{"name":"n"}`), "others are served")
	require.Equal(t, http.StatusOK, f.within("POST", "/api/v1/jobs/"+id+"/cancel", ""))
	for range waits {
		require.Equal(t, http.StatusOK, <-statuses)
	}
}

// While one caller does its worst with every costly call at once, another's enqueue
// succeeds within its own deadline.
func TestTheWorstCallsOfOneCallerLeaveAnothersEnqueueServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.pooled(t)
	worker := post[map[string]any](t, f, "/api/v1/workers", map[string]any{"queues": []string{"q"}})["id"].(string)
	waited := post[map[string]any](t, f, queues+"waited/jobs", map[string]any{"name": "n", "delay": 3_600_000})["id"].(string)
	f.exec(t, "SELECT penstock.enqueue_many('big', array_fill('n'::text, ARRAY[10000]), array_fill('{\"a\":[1,2,3]}'::jsonb, ARRAY[10000]))")

	// Someone's transaction holds an idempotency key to the end of the test.
	tx, err := f.Pool.Begin(context.Background())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = f.client.InTx(tx).Enqueue(context.Background(), penstock.NewJob{Queue: "q", Name: "n", IdempotencyKey: "held"})
	require.NoError(t, err)

	ctx, stop := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	worst := func(n int, method, path, body string, headers ...string) {
		for i := range n {
			callers.Go(func() {
				for turn := 0; ctx.Err() == nil; turn++ {
					all := append([]string{}, headers...)
					if len(all) > 0 {
						all[1] = fmt.Sprint(all[1], "-", i, "-", turn)
					}
					f.within(method, path, body, all...)
				}
			})
		}
	}
	worst(20, "POST", "/api/v1/workers/"+worker+"/heartbeat", `{}`, "Idempotency-Key", "b")
	worst(5, "POST", queues+"q/jobs", `{"name":"n","idempotencyKey":"held"}`, "Idempotency-Key", "h")
	worst(5, "GET", "/api/v1/jobs?data=$.a[*]%20%3F%20(@%20%3E%205)&limit=500", "")
	worst(3, "GET", "/api/v1/jobs/count?most=100000", "")
	worst(3, "GET", "/api/v1/health", "")
	worst(3, "GET", queues+"metrics/all", "")
	worst(100, "GET", "/api/v1/jobs/"+waited+"/wait?timeout=2000", "")

	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		require.Equal(t, http.StatusCreated, f.within("POST", queues+"innocent/jobs", `{"name":"n"}`))
	}
	stop()
	callers.Wait()
}
