package sqltest_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// world is what every table holds, as the database has it or as the model foretells
// it. Times are microseconds since 1970 and durations microseconds, 0 for none, so
// that two worlds compare field by field.
type world struct {
	Jobs     map[int64]jobRow
	Pending  map[int64]pendingRow
	Running  map[int64]runningRow
	Attempts map[attemptKey]attemptRow
	Dead     map[int64]deadRow
	Keys     map[queueKey]keyRow
	Workers  map[int64]int64  // beats
	States   map[int64]string // the view job_states
}

type place struct {
	ID          int64
	Queue, Name string
	Priority    int16
}

type counts struct {
	Attempt, Failures int32
	Crashes           int16
}

type jobRow struct {
	ID                                   int64
	Queue, Name, Data                    string
	Asked, MaxAttempts                   int16
	Timeout, ExpiresAt, RetryDelay, Born int64
}

type pendingRow struct {
	place
	counts
	RunAt, ExpiresAt, Timeout int64
}

type runningRow struct {
	place
	counts
	RunAt, Worker, Timeout int64
	Cancel, Overdue        bool
}

type attemptKey struct {
	ID      int64
	Attempt int32
}

type attemptRow struct {
	place
	Attempt                         int32
	RunAt, Worker                   int64
	Claimed                         bool
	Outcome, Class, Message, Result string
	Grouped                         bool // it has a fingerprint
}

type deadRow struct {
	place
	counts
	MaxAttempts, Asked           int16
	CanRetry                     bool
	Reason, Class, Message, Data string
	RetryDelay                   int64
}

type queueKey struct{ Queue, Key string }

type keyRow struct {
	queueKey
	ID    int64
	Bound bool // its 24 hours are not over
}

func newWorld() world {
	return world{
		map[int64]jobRow{},
		map[int64]pendingRow{},
		map[int64]runningRow{},
		map[attemptKey]attemptRow{},
		map[int64]deadRow{},
		map[queueKey]keyRow{},
		map[int64]int64{},
		map[int64]string{},
	}
}

// What the machine's workers say of an error, and what stands for any words that
// the database finds for an end of its own making.
const (
	workerSaid   = "disk 7 is full"
	databaseSaid = "(the database's words)"
)

func machineWords(message string) string {
	if message == "" || message == workerSaid {
		return message
	}
	return databaseSaid
}

func micros(column string) string {
	return fmt.Sprintf("coalesce(extract(epoch FROM %s) * 1000000, 0)::bigint", column)
}

// observe reads every table and the database's clock, in one round trip.
func observe(t tester, conn *pgx.Conn) (w world, clock int64) {
	t.Helper()
	w = newWorld()
	batch := &pgx.Batch{}
	retryDelay := "coalesce((retry ->> 'delay')::float8 * 1000, 0)::bigint"
	read(batch, `SELECT id, queue, name, data::text, coalesce(asked_priority, 0), coalesce(max_attempts, 0), `+
		micros("timeout")+","+micros("expires_at")+","+retryDelay+","+micros("enqueued_at")+` FROM penstock.jobs`,
		func(r jobRow) { w.Jobs[r.ID] = r })
	read(batch, `SELECT job_id, queue, name, priority, attempt, failures, crashes, `+
		micros("run_at")+","+micros("expires_at")+","+micros("timeout")+` FROM penstock.pending`,
		func(r pendingRow) { w.Pending[r.ID] = r })
	read(batch, `SELECT job_id, queue, name, priority, attempt, failures, crashes, `+micros("run_at")+`, worker_id, `+
		micros("(deadline - claimed_at)")+`, cancel_requested, deadline < clock_timestamp() FROM penstock.running`,
		func(r runningRow) { w.Running[r.ID] = r })
	read(batch, `SELECT job_id, queue, name, priority, attempt, `+micros("run_at")+`, coalesce(worker_id, 0),
		claimed_at IS NOT NULL, outcome, coalesce(error_class, ''), coalesce(message, ''), coalesce(result::text, ''),
		fingerprint IS NOT NULL FROM penstock.attempts`,
		func(r attemptRow) {
			r.Message = machineWords(r.Message)
			w.Attempts[attemptKey{r.ID, r.Attempt}] = r
		})
	read(batch, `SELECT job_id, queue, name, priority, attempt, failures, crashes, max_attempts,
		coalesce(asked_priority, 0), can_retry, reason, error_class, message, data::text, `+retryDelay+` FROM penstock.dead_jobs`,
		func(r deadRow) {
			r.Message = machineWords(r.Message)
			w.Dead[r.ID] = r
		})
	read(batch, `SELECT queue, key, job_id, until > clock_timestamp() FROM penstock.idempotency_keys`,
		func(r keyRow) { w.Keys[r.queueKey] = r })
	read(batch, `SELECT id, beat FROM penstock.workers`, func(r struct{ ID, Beat int64 }) { w.Workers[r.ID] = r.Beat })
	read(batch, `SELECT id, coalesce(state, 'nowhere') FROM penstock.job_states`, func(r struct {
		ID    int64
		State string
	},
	) {
		w.States[r.ID] = r.State
	})
	read(batch, `SELECT `+micros("clock_timestamp()"), func(r struct{ Now int64 }) { clock = r.Now })
	ctx, cancel := soon()
	defer cancel()
	require.NoError(t, conn.SendBatch(ctx, batch).Close())
	return w, clock
}

// read queues a query whose every row goes to keep.
func read[T any](batch *pgx.Batch, sql string, keep func(T)) {
	batch.Queue(sql).Query(func(found pgx.Rows) error {
		all, err := pgx.CollectRows(found, pgx.RowToStructByPos[T])
		for _, row := range all {
			keep(row)
		}
		return err
	})
}

// empty deletes every job and worker and all settings of queues.
func empty(t tester, conn *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	batch := &pgx.Batch{}
	for _, table := range []string{
		"jobs", "pending", "running", "attempts", "dead_jobs", "idempotency_keys", "workers", "queues",
	} {
		batch.Queue("DELETE FROM penstock." + table)
	}
	require.NoError(t, conn.SendBatch(ctx, batch).Close())
}
