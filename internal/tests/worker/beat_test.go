package worker_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/testkit"
)

// A worker whose heartbeat's session is ended while the server is full, or a firewall takes
// no new connection, still has live connections to beat over.
func TestALivingWorkerIsNotBuriedWhileNoNewConnectionIsAccepted(t *testing.T) { // P12
	t.Parallel()
	db := testkit.New(t)
	var refuse atomic.Bool
	f := fixtureOn(t, db, func(c *pgxpool.Config) {
		c.MinConns = 3
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			if refuse.Load() {
				return nil, errors.New("no new connection is accepted")
			}
			return dial(ctx, network, address)
		}
	})
	goOn, open := gate(t)
	w := f.work(t, penstock.WorkerConfig{Lease: shortLease}, func(w *penstock.Worker) {
		penstock.Handle(w, "q", "gate", func(context.Context, *penstock.Job[struct{}]) error { <-goOn; return nil })
	})
	var ids []int64
	for range 3 {
		ids = append(ids, f.enqueue(t, penstock.NewJob{Name: "gate"}))
	}
	f.started.await(t, "the handlers", 3, func(penstock.StartEvent) bool { return true })
	var beating []int32
	until(t, "a session that beats", func() bool {
		beating = ask[[]int32](t, f, `SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%penstock.heartbeat(%'`)
		return len(beating) > 0
	})
	other := fixtureOn(t, db) // looks after the others from another process's pool
	other.sweep(t, shortLease)
	until(t, "a second worker", func() bool { return ask[int](t, f, `SELECT count(*) FROM penstock.workers`) == 2 })
	id := w.ID()

	refuse.Store(true)
	require.Positive(t, ask[int](t, f, `SELECT count(pg_terminate_backend(pid)) FROM unnest($1::integer[]) pid`, beating))
	time.Sleep(3 * shortLease)
	require.Empty(t, other.buried.which(func(e penstock.BuryEvent) bool { return e.WorkerID == id }), "it was alive and connected")
	refuse.Store(false)
	open()
	for _, job := range ids {
		f.end(t, job, 1)
		require.Equal(t, "completed", f.outcomes(t, job))
	}
	require.Equal(t, id, w.ID())
}
