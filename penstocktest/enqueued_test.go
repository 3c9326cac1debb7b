package penstocktest_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/penstocktest"
)

// recorder is a test that may fail: it keeps what it failed with.
type recorder struct {
	*testing.T
	said string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Errorf(format string, args ...any) { r.said = fmt.Sprintf(format, args...) }

// failure is what a test said as f ended it; empty when it did not.
func failure(t *testing.T, f func(t testing.TB)) string {
	t.Helper()
	r := &recorder{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.said
}

func TestDataIsComparedAsASubsetOfJSON(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	enqueue(t, db, penstock.NewJob{Queue: "q", Name: "n", Data: json.RawMessage(
		`{"a": {"b": [1, {"c": "x", "d": null}], "e": 2.50}, "f": true, "big": 12345678901234567890123, "k.y": 0}`)})
	for _, c := range []struct {
		name string
		data any
		why  string // empty: it matches
	}{
		{"nothing is asked", nil, ""},
		{"an empty object is part of any", json.RawMessage(`{}`), ""},
		{"some keys at any depth", json.RawMessage(`{"a": {"b": [1, {"c": "x"}]}}`), ""},
		{"a number as it may also be written", json.RawMessage(`{"a": {"e": 25e-1}}`), ""},
		{"a number too big for a float", json.RawMessage(`{"big": 12345678901234567890124}`), `data.big is 12345678901234567890123, not 12345678901234567890124`},
		{"null is a value", json.RawMessage(`{"a": {"b": [1, {"d": null}]}}`), ""},
		{"null is not a missing key", json.RawMessage(`{"g": null}`), `data has no "g"`},
		{"an array is compared whole", json.RawMessage(`{"a": {"b": [1]}}`), "data.a.b has 2 elements, not 1"},
		{"and in its order", json.RawMessage(`{"a": {"b": [{}, 1]}}`), "data.a.b[0] is 1, not {}"},
		{"a text is no number", json.RawMessage(`{"a": {"e": "2.5"}}`), `data.a.e is 2.50, not "2.5"`},
		{"a value is no object", json.RawMessage(`{"f": {"x": 1}}`), `data.f is true, not {"x":1}`},
		{"the first key by name that differs", map[string]any{"k.y": 1, "f": false}, "data.f is true, not false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := failure(t, func(t testing.TB) {
				penstocktest.RequireEnqueued(t, db.Pool, penstocktest.Want{Name: "n", Data: c.data})
			})
			if c.why == "" {
				require.Empty(t, said)
				return
			}
			require.Contains(t, said, "← "+c.why+"\n")
		})
	}
}

func TestEveryFieldOfWantDecides(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	id := enqueue(t, db, penstock.NewJob{
		Queue: "q", Name: "n", Priority: penstock.Critical, Delay: time.Hour, Tags: []string{"a", "b"}, IdempotencyKey: "k",
		MaxAttempts: 4, Timeout: time.Minute, Retry: &penstock.RetryStrategy{Type: penstock.Fixed, Delay: time.Second},
	})
	now := time.Now()
	for _, c := range []struct {
		name string
		want penstocktest.Want
		why  string
	}{
		{"all that is so", penstocktest.Want{
			Queue: "q", Name: "n", Priority: "20", Tags: []string{"b"}, IdempotencyKey: "k", MinDelay: time.Hour, MaxDelay: time.Hour,
			RunFrom: now, RunTo: now.Add(2 * time.Hour),
		}, ""},
		{"another queue", penstocktest.Want{Queue: "p"}, "queue"},
		{"another name", penstocktest.Want{Name: "m"}, "name"},
		{"another priority", penstocktest.Want{Priority: penstock.Low}, "priority: not 1"},
		{"a tag it lacks", penstocktest.Want{Tags: []string{"a", "c"}}, `tags: no "c" in ["a" "b"]`},
		{"another key", penstocktest.Want{IdempotencyKey: "l"}, `idempotency key: "k"`},
		{"too short a delay", penstocktest.Want{MinDelay: 2 * time.Hour}, "delay: 1h0m0s"},
		{"too long a delay", penstocktest.Want{MaxDelay: time.Minute}, "delay: 1h0m0s"},
		{"too early", penstocktest.Want{RunFrom: now.Add(2 * time.Hour)}, "runs at "},
		{"too late", penstocktest.Want{RunTo: now}, "runs at "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var job penstocktest.Job
			said := failure(t, func(t testing.TB) { job = penstocktest.RequireEnqueued(t, db.Pool, c.want) })
			require.Equal(t, c.why == "", said == "", said)
			require.Contains(t, said, c.why)
			require.Equal(t, c.why != "", failure(t, func(t testing.TB) { penstocktest.RequireNotEnqueued(t, db.Pool, c.want) }) == "")
			if said != "" {
				return
			}
			info, err := db.Client.Job(t.Context(), id)
			require.NoError(t, err)
			info.Attempts, info.Descendants = nil, nil
			job.RunAt, job.EnqueuedAt = job.RunAt.UTC(), job.EnqueuedAt.UTC()
			require.Equal(t, *info, job.JobInfo, "the job is told in full")
			require.Equal(t, penstock.Milliseconds(time.Minute), job.Timeout)
		})
	}
}

func TestAFailureListsWhatIsEnqueuedInstead(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	require.Equal(t, "penstocktest: no such job is enqueued: queue mail, data with {\"n\":1}\nnothing is enqueued",
		failure(t, func(t testing.TB) {
			penstocktest.RequireEnqueued(t, db.Pool, penstocktest.Want{Queue: "mail", Data: map[string]int{"n": 1}})
		}))
	for i := range 22 {
		enqueue(t, db, penstock.NewJob{Queue: "mail", Name: "digest", Data: map[string]any{"n": i, "text": strings.Repeat("é", 200)}})
	}
	enqueue(t, db, penstock.NewJob{Queue: "mail", Name: "welcome", Priority: penstock.High, Delay: time.Hour, Data: map[string]int{"n": 2}})

	said := failure(t, func(t testing.TB) {
		penstocktest.RequireEnqueued(t, db.Pool, penstocktest.Want{Queue: "mail", Name: "welcome", Data: map[string]int{"n": 1}})
	})
	require.Equal(t, `penstocktest: no such job is enqueued: queue mail, name welcome, data with {"n":1}
enqueued instead:
    mail  welcome  priority 10  scheduled in 1h0m0s  {"n": 2}  ← data.n is 2, not 1
`, said)

	said = failure(t, func(t testing.TB) {
		penstocktest.RequireEnqueued(t, db.Pool, penstocktest.Want{Queue: "mail", Name: "goodbye"})
	})
	require.Equal(t, 23, strings.Count(said, "\n"), "a long list is cut, and so are its lines\n"+said)
	require.Contains(t, said, "… and 3 more\n")
	require.Contains(t, said, "é…  ← name\n")

	said = failure(t, func(t testing.TB) { penstocktest.RequireNotEnqueued(t, db.Pool, penstocktest.Want{Name: "welcome"}) })
	require.Equal(t, "penstocktest: enqueued, though it should not be: name welcome\n"+
		"    mail  welcome  priority 10  scheduled in 1h0m0s  {\"n\": 2}\n", said)
}

func TestADatabaseSQLTransactionIsLookedIntoToo(t *testing.T) { // P2
	t.Parallel()
	db := penstocktest.NewDB(t)
	std := stdlib.OpenDBFromPool(db.Pool)
	defer std.Close()
	tx, err := std.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = db.Client.InSQLTx(tx).Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "n", Data: map[string]int{"x": 1}})
	require.NoError(t, err)
	penstocktest.RequireEnqueued(t, penstocktest.SQL(tx), penstocktest.Want{Queue: "q", Data: map[string]int{"x": 1}})
	penstocktest.RequireNotEnqueued(t, db.Pool, penstocktest.Want{})
}

func TestAWantThatMakesNoSenseEndsTheTest(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	require.Contains(t, failure(t, func(t testing.TB) { penstocktest.RequireNotEnqueued(t, db.Pool, penstocktest.Want{Priority: "urgent"}) }),
		"priority must be a weight from 1 to 100 or one of low, normal, high, critical, got urgent")
	require.Contains(t, failure(t, func(t testing.TB) {
		penstocktest.RequireNotEnqueued(t, db.Pool, penstocktest.Want{Data: make(chan int)})
	}),
		"Want.Data must be JSON")
}

func TestOnlyWaitingJobsCount(t *testing.T) {
	t.Parallel()
	db := penstocktest.NewDB(t)
	enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Data: Charge{"visa", 1}})
	enqueue(t, db, penstock.NewJob{Queue: "q", Name: "charge", Data: Charge{"broken", 1}})
	penstocktest.Drain(t, worker(t, db, charge))
	left := penstocktest.AllEnqueued(t, db.Pool, penstocktest.Want{Queue: "q"})
	require.Len(t, left, 1)
	require.Equal(t, penstock.Retrying, left[0].State)
	require.Equal(t, 1, left[0].Failures)
}
