package penstock_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// heard keeps what hooks were told, and lets a test wait for it.
type heard struct {
	mu     sync.Mutex
	events []any
	more   chan struct{} // one signal
}

func newHeard() *heard { return &heard{more: make(chan struct{}, 1)} }

func hear[E any](h *heard) func(E) {
	return func(e E) {
		h.mu.Lock()
		h.events = append(h.events, e)
		h.mu.Unlock()
		select {
		case h.more <- struct{}{}:
		default:
		}
	}
}

// first waits for the first event of type E that matches.
func first[E any](t *testing.T, h *heard, match func(E) bool) E {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		if e, ok := find(h, match); ok {
			return e
		}
		select {
		case <-h.more:
		case <-late:
			require.FailNowf(t, "awaited in vain", "%T", *new(E))
		}
	}
}

// find is the first event of a kind that was heard so far and matches.
func find[E any](h *heard, match func(E) bool) (found E, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, event := range h.events {
		if e, ok := event.(E); ok && match(e) {
			return e, true
		}
	}
	return found, false
}

func (h *heard) hooks() penstock.Hooks {
	return penstock.Hooks{
		Enqueued: hear[penstock.EnqueueEvent](h), Claimed: hear[penstock.ClaimEvent](h),
		Woken: hear[penstock.WakeEvent](h), Notified: hear[penstock.NotifyEvent](h),
		Listening: hear[penstock.ListenEvent](h), Beaten: hear[penstock.BeatEvent](h),
	}
}

func TestHooksTellOfEveryWayToEnqueue(t *testing.T) {
	t.Parallel()
	d, h := testkit.New(t), newHeard()
	client, err := penstock.NewClient(d.Pool, penstock.Config{Hooks: h.hooks()})
	require.NoError(t, err)
	job := func(queue string) penstock.NewJob { return penstock.NewJob{Queue: queue, Name: "n"} }

	_, err = client.Enqueue(t.Context(), job("one"))
	require.NoError(t, err)
	_, err = client.EnqueueMany(t.Context(), []penstock.NewJob{job("many"), job("many"), job("few")})
	require.NoError(t, err)
	tx, err := d.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = client.InTx(tx).Enqueue(t.Context(), job("tx"))
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	db := sql.OpenDB(stdlib.GetPoolConnector(d.Pool))
	defer db.Close()
	_, err = client.InSQLTx(db).Enqueue(t.Context(), job("sql"))
	require.NoError(t, err)
	_, err = client.Enqueue(t.Context(), penstock.NewJob{Queue: "bad", Name: "n", Priority: "nonsense"})
	require.Error(t, err)

	for _, c := range []struct {
		queue string
		jobs  int
		inTx  bool
	}{{"one", 1, false}, {"many", 2, false}, {"few", 1, false}, {"tx", 1, true}, {"sql", 1, true}} {
		e := first(t, h, func(e penstock.EnqueueEvent) bool { return e.Queue == c.queue })
		require.NoError(t, e.Err)
		require.Positive(t, e.Took)
		require.Equal(t, penstock.EnqueueEvent{Queue: c.queue, Jobs: c.jobs, Took: e.Took, InTx: c.inTx}, e)
	}
	var refused *penstock.ArgumentError
	require.ErrorAs(t, first(t, h, func(e penstock.EnqueueEvent) bool { return e.Queue == "bad" }).Err, &refused)
}

func TestHooksTellWhyAFetcherWakesAndThatItsWorkerBeatsAndListens(t *testing.T) {
	t.Parallel()
	d, h := testkit.New(t), newHeard()
	client, err := penstock.NewClient(d.Pool, penstock.Config{Hooks: h.hooks()})
	require.NoError(t, err)
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{
		Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 1}},
	})
	require.NoError(t, err)
	started, finish := make(chan struct{}, 10), make(chan struct{})
	penstock.Handle(worker, "q", "n", func(context.Context, *penstock.Job[json.RawMessage]) error {
		started <- struct{}{}
		<-finish
		return nil
	})
	require.Equal(t, []penstock.QueueLoad{{Queue: "q", Concurrency: 1}}, worker.Load())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()

	require.NoError(t, first(t, h, func(e penstock.BeatEvent) bool { return !e.Gone }).Err)
	first(t, h, func(e penstock.ListenEvent) bool { return e.Up && e.Err == nil })
	woken := func(by penstock.WakeReason) {
		t.Helper()
		require.Equal(t, "q", first(t, h, func(e penstock.WakeEvent) bool { return e.By == by }).Queue)
	}
	woken(penstock.WokenByPoll)
	first(t, h, func(e penstock.WakeEvent) bool { return e.Rested > 500*time.Millisecond }) // fast asleep
	_, err = d.Pool.Exec(t.Context(), `SELECT penstock.enqueue('q', 'n')`)
	require.NoError(t, err)
	woken(penstock.WokenByNotification)
	require.Equal(t, penstock.NotifyEvent{Queue: "q"}, first(t, h, func(penstock.NotifyEvent) bool { return true }))
	<-started
	load := worker.Load()[0]
	require.Equal(t, 1, load.Running)

	finish <- struct{}{}
	// A job that ends before the fetcher looks for room leaves it nothing to wait for.
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); {
		if _, ok := find(h, func(e penstock.WakeEvent) bool { return e.By == penstock.WokenByRoom }); ok {
			break
		}
		_, err = client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "n"})
		require.NoError(t, err)
		<-started
		finish <- struct{}{}
	}
	woken(penstock.WokenByRoom)
	_, err = client.Enqueue(t.Context(), penstock.NewJob{Queue: "q", Name: "n"})
	require.NoError(t, err)
	<-started
	close(finish)

	// The listener holds the lock that makes enqueue notify.
	require.Eventually(t, func() bool {
		tag, err := d.Pool.Exec(t.Context(), `SELECT pg_terminate_backend(l.pid) FROM pg_locks l
			JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
			WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock'`)
		return err == nil && tag.RowsAffected() > 0
	}, 30*time.Second, 10*time.Millisecond)
	first(t, h, func(e penstock.ListenEvent) bool { return !e.Up && e.Err != nil })
	stop()
	require.NoError(t, <-done)
}

func TestHooksBesideOthersAreToldSecond(t *testing.T) {
	var told []string
	say := func(who string) penstock.Hooks {
		return penstock.Hooks{Buried: func(penstock.BuryEvent) { told = append(told, who) }}
	}
	both := say("first").And(penstock.Hooks{}).And(say("second"))
	both.Buried(penstock.BuryEvent{})
	require.Equal(t, []string{"first", "second"}, told)
	require.Nil(t, both.Ended, "nobody listens, so nobody is called")
}
