// Package remote_test proves workers that have no connection of their own: what they
// claim, hold, end and lose through a remote.Engine on real PostgreSQL.
package remote_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/remote"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// patience bounds every wait; a test that needs it all has found a block.
const patience = 30 * time.Second

// fixture is a database, a client and a remote whose Run runs until the test ends.
type fixture struct {
	*testkit.DB
	client *penstock.Client
	remote *remote.Engine
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{DB: testkit.New(t)}
	f.client, f.remote = f.join(t)
	return f
}

// join is another process: its own client and remote of the same database.
func (f *fixture) join(t testing.TB) (*penstock.Client, *remote.Engine) {
	t.Helper()
	client, err := penstock.NewClient(f.Pool, penstock.Config{})
	require.NoError(t, err)
	remote, err := remote.New(client)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); remote.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return client, remote
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (f *fixture) register(t testing.TB, queues ...string) remote.Worker {
	t.Helper()
	w, err := f.remote.Register(soon(t), "tok", remote.Registration{Queues: queues})
	require.NoError(t, err)
	return w
}

func (f *fixture) enqueue(t testing.TB, queue string, n int) []int64 {
	t.Helper()
	jobs := make([]penstock.NewJob, n)
	for i := range jobs {
		jobs[i] = penstock.NewJob{Queue: queue, Name: "n", Data: map[string]int{"i": i}}
	}
	ids, err := f.client.EnqueueMany(soon(t), jobs)
	require.NoError(t, err)
	return ids
}

var claims int

// claim claims at once under an id of its own.
func claim(t testing.TB, w remote.Worker, limit int) []remote.Job {
	t.Helper()
	claims++
	jobs, err := w.Claim(soon(t), remote.ClaimRequest{ID: fmt.Sprintf("c%d", claims), Limit: limit})
	require.NoError(t, err)
	return jobs
}

func ids(jobs []remote.Job) []int64 {
	all := []int64{}
	for _, j := range jobs {
		all = append(all, j.ID)
	}
	return all
}

func held(jobs ...remote.Job) []remote.Held {
	all := []remote.Held{}
	for _, j := range jobs {
		all = append(all, remote.Held{ID: j.ID, Attempt: j.Attempt})
	}
	return all
}

func end(j remote.Job, outcome string) remote.End {
	return remote.End{Queue: j.Queue, Held: remote.Held{ID: j.ID, Attempt: j.Attempt}, Outcome: outcome}
}

func finish(t testing.TB, w remote.Worker, ends ...remote.End) []string {
	t.Helper()
	answers, err := w.Finish(soon(t), ends)
	require.NoError(t, err)
	statuses := []string{}
	for _, a := range answers {
		statuses = append(statuses, a.Status)
	}
	return statuses
}

func ask[T any](t testing.TB, f *fixture, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, f.Pool.QueryRow(soon(t), sql, args...).Scan(&v), sql)
	return v
}

func (f *fixture) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := f.Pool.Exec(soon(t), sql, args...)
	require.NoError(t, err, sql)
}
