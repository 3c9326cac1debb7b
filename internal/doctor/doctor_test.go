package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var duties = []Duty{
	{"producer", []string{"enqueue_many(text, text[], jsonb[], jsonb[], boolean)", "enqueue_many(text, jsonb, boolean)"}},
	{"worker", []string{"heartbeat(bigint, timestamptz, integer)", "deregister_worker(bigint)"}},
}

// examine returns the findings of one check.
func examine(t *testing.T, pool *pgxpool.Pool, check string) (found []Finding) {
	t.Helper()
	chart, err := Examine(t.Context(), Patient{Pool: pool, Duties: duties, Schema: func(context.Context) error { return nil }})
	require.NoError(t, err)
	for _, f := range chart.Findings {
		require.Equal(t, f.Level == OK, f.Remedy == "", "every finding but a good one has its remedy: %+v", f)
		if f.Check == check {
			found = append(found, f)
		}
	}
	return found
}

func exec(t *testing.T, db *testkit.DB, sql string) {
	t.Helper()
	_, err := db.Pool.Exec(t.Context(), sql)
	require.NoError(t, err, sql)
}

// reconnected is a pool of sessions that begin after what the test changed.
func reconnected(t *testing.T, db *testkit.DB, change func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	cfg := db.Pool.Config()
	if change != nil {
		change(cfg)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func TestWhatIsWellIsSaidSo(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, check := range []string{"schema", "pooler", "replication", "partitions", "indexes", "vacuum", "clock", "workers"} {
		found := examine(t, db.Pool, check)
		require.Len(t, found, 1, check)
		require.Equal(t, OK, found[0].Level, "%+v", found[0])
	}
}

func TestEachAilmentIsFoundWithItsRemedy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		check        string
		level        Level
		text, remedy string
		ail          func(*testing.T, *testkit.DB) *pgxpool.Pool
	}{
		"commits do not wait for the disk": {"settings", Warning, "synchronous_commit is off", "set synchronous_commit = on", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, fmt.Sprintf("ALTER DATABASE %s SET synchronous_commit = off", db.Name))
			return reconnected(t, db, nil)
		}},
		"everything is serializable": {"settings", Warning, "serializable by default", "RESET default_transaction_isolation", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, fmt.Sprintf("ALTER DATABASE %s SET default_transaction_isolation = serializable", db.Name))
			return reconnected(t, db, nil)
		}},
		"statements are cut off": {"settings", Warning, "statement_timeout is 900 ms", "raise it to 5 s", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, fmt.Sprintf("ALTER DATABASE %s SET statement_timeout = 900", db.Name))
			return reconnected(t, db, nil)
		}},
		"the newest partition is past": {"partitions", Problem, "ended 3 days ago", "penstock serve", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, "UPDATE penstock.partitions SET first_day = first_day - 10, last_day = last_day - 10")
			return db.Pool
		}},
		"nobody makes partitions": {"partitions", Warning, "reach 1 day ahead", "penstock serve", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, "DELETE FROM penstock.partitions WHERE last_day > floor(extract(epoch FROM now()) / 86400) + 1")
			return db.Pool
		}},
		"a partition is gone": {"partitions", Problem, "written down and not there: jobs_", "restore them", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, `DO $$ BEGIN EXECUTE format('ALTER TABLE penstock.jobs DETACH PARTITION penstock.%I',
				penstock.partition_name('jobs', (SELECT max(first_day) FROM penstock.partitions))); END $$`)
			return db.Pool
		}},
		"an index is invalid": {"indexes", Problem, "index penstock.broken is invalid", "REINDEX INDEX CONCURRENTLY penstock.broken", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, "INSERT INTO penstock.workers (pid, concurrency, host, version, queues) SELECT 1, 1, '', '', '{q}' FROM generate_series(1, 2)")
			_, err := db.Pool.Exec(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY broken ON penstock.workers (pid)")
			require.Error(t, err)
			return db.Pool
		}},
		"autovacuum was turned off for a table": {"vacuum", Problem, "autovacuum is off for pending", "RESET (autovacuum_enabled)", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, "ALTER TABLE penstock.pending SET (autovacuum_enabled = off)")
			return db.Pool
		}},
		"a dead worker is not buried": {"workers", Problem, "1 workers have been silent", "start a worker", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, "SELECT penstock.register_worker('{q}')")
			exec(t, db, "UPDATE penstock.workers SET beat_at = now() - interval '2 minutes'")
			return db.Pool
		}},
		"a queue has no worker": {"workers", Problem, "queue lonely has work due for 5 minutes", "start a worker that serves it", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			exec(t, db, "SELECT penstock.enqueue('lonely', 'a')")
			exec(t, db, "UPDATE penstock.pending SET run_at = now() - interval '5 minutes 1 second'")
			return db.Pool
		}},
		"a superuser works": {"grants", Warning, "connected as a superuser", "penstock grants", func(_ *testing.T, db *testkit.DB) *pgxpool.Pool { return db.Pool }},
		"a role has a part of a duty": {"grants", Warning, "1 of 2 functions are missing, deregister_worker", "--as worker", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			return as(t, db, "GRANT USAGE ON SCHEMA penstock TO %[1]s; GRANT EXECUTE ON FUNCTION penstock.heartbeat(bigint, timestamptz, integer) TO %[1]s")
		}},
		"a role may do nothing": {"grants", Problem, "the role is nothing here", "penstock grants", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			return as(t, db, "GRANT USAGE ON SCHEMA penstock TO %[1]s")
		}},
		"a role may not look": {"partitions", Unknown, "not allowed to look: permission denied", "penstock grants ROLE --as operator", func(t *testing.T, db *testkit.DB) *pgxpool.Pool {
			return as(t, db, "GRANT USAGE ON SCHEMA penstock TO %[1]s")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := c.ail(t, testkit.New(t))
			var texts []string
			for _, f := range examine(t, pool, c.check) {
				texts = append(texts, f.Text)
				if f.Level == c.level && strings.Contains(f.Text, c.text) {
					require.Contains(t, f.Remedy, c.remedy)
					return
				}
			}
			require.Fail(t, "not found", "%q", texts)
		})
	}
}

// as makes a role with what sql grants it, and a pool of its sessions.
func as(t *testing.T, db *testkit.DB, sql string) *pgxpool.Pool {
	t.Helper()
	role := db.Name + "_role"
	exec(t, db, "CREATE ROLE "+role)
	exec(t, db, fmt.Sprintf(sql, role))
	t.Cleanup(func() { _, _ = db.Pool.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	return reconnected(t, db, func(cfg *pgxpool.Config) {
		cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET ROLE "+role)
			return err
		}
	})
}

func TestAForgottenTransactionIsNamed(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	tx, err := db.Pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	var pid int
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	chart, err := Examine(t.Context(), Patient{Pool: db.Pool, Old: time.Microsecond})
	require.NoError(t, err)
	found := slices.IndexFunc(chart.Findings, func(f Finding) bool { return strings.Contains(f.Text, fmt.Sprintf("session %d of", pid)) })
	require.GreaterOrEqual(t, found, 0, "%+v", chart.Findings)
	require.Equal(t, Warning, chart.Findings[found].Level)
	require.Contains(t, chart.Findings[found].Remedy, fmt.Sprintf("pg_terminate_backend(%d)", pid))
}

func TestASchemaThatDoesNotFitIsAProblem(t *testing.T) {
	t.Parallel()
	chart, err := Examine(t.Context(), Patient{Pool: testkit.New(t).Pool, Schema: func(context.Context) error { return errors.New("too old") }})
	require.NoError(t, err)
	require.Equal(t, Finding{"schema", Problem, "too old", chart.Findings[0].Remedy}, chart.Findings[0])
	require.Positive(t, chart.Count(Problem))
}

func TestSpansAreInTheirLargestUnit(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{5: "5 s", 150: "2 minutes", 3 * 3600: "3 hours", 72 * 3600: "3 days"} {
		require.Equal(t, want, span(seconds))
	}
}
