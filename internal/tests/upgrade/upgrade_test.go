// Package upgrade_test applies the next release's functions to a database whose roles
// have grants, below a worker of this release.
package upgrade_test

import (
	"context"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
	"github.com/penstock/penstock/internal/grants"
	"github.com/penstock/penstock/internal/postgres"
	"github.com/penstock/penstock/internal/testkit"
	"github.com/penstock/penstock/migrations"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const patience = 60 * time.Second

// next is this release's migrations with some files changed and one stamp more.
func next(t *testing.T, change map[string][2]string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(migrations.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations.FS, name)
		files[name] = &fstest.MapFile{Data: text}
		return err
	}))
	for name, c := range change {
		require.Contains(t, files, name)
		changed := strings.Replace(string(files[name].Data), c[0], c[1], 1)
		require.NotEqual(t, string(files[name].Data), changed, "%s: %q is not there", name, c[0])
		files[name] = &fstest.MapFile{Data: []byte(changed)}
	}
	stamps := strings.Replace(string(files[migrations.StampsFile].Data), " unreleased ", " released ", 1)
	files[migrations.StampsFile] = &fstest.MapFile{Data: []byte(stamps)}
	newest, err := postgres.Newest()
	require.NoError(t, err)
	stamps, err = migrations.Restamp(files, newest)
	require.NoError(t, err)
	files[migrations.StampsFile] = &fstest.MapFile{Data: []byte(stamps)}
	return files
}

func query[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&v), sql)
	return v
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err, sql)
}

// role makes a role with the duties and returns its name and a pool that acts as it.
func role(t *testing.T, db *testkit.DB, name string, duties grants.Duty) (string, *pgxpool.Pool) {
	t.Helper()
	name = db.Name + "_" + name // roles are the whole server's
	quoted := pgx.Identifier{name}.Sanitize()
	exec(t, db.Pool, "CREATE ROLE "+quoted)
	t.Cleanup(func() {
		_, err := db.Pool.Exec(context.Background(), "DROP OWNED BY "+quoted+"; DROP ROLE "+quoted)
		require.NoError(t, err)
	})
	exec(t, db.Pool, strings.Join(grants.Statements(quoted, duties), "\n"))
	pool, err := postgres.Open(t.Context(), db.URL, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["role"] = name })
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return name, pool
}

// granted lists every grant in the schema, by the object's name without arguments.
func granted(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return query[[]string](t, pool, `SELECT array_agg(line ORDER BY line) FROM (
		SELECT format('%s: %s to %s', p.proname, a.privilege_type, a.grantee::regrole) AS line
		FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a WHERE p.pronamespace = 'penstock'::regnamespace
		UNION ALL
		SELECT format('%s: %s to %s', c.relname, a.privilege_type, a.grantee::regrole)
		FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE c.relnamespace = 'penstock'::regnamespace
		UNION ALL
		SELECT format('%s.%s: %s to %s', c.relname, b.attname, a.privilege_type, a.grantee::regrole)
		FROM pg_class c JOIN pg_attribute b ON b.attrelid = c.oid CROSS JOIN LATERAL aclexplode(b.attacl) a
		WHERE c.relnamespace = 'penstock'::regnamespace) g`)
}

// versions is the transaction that wrote each function last: it changes when one is replaced.
func versions(t *testing.T, pool *pgxpool.Pool) map[string]string {
	t.Helper()
	return query[map[string]string](t, pool, `SELECT jsonb_object_agg(p.oid::regprocedure, p.xmin::text || ' ' || p.oid) FROM pg_proc p
		WHERE p.pronamespace = 'penstock'::regnamespace`)
}

// changes are what a release may do: a body, a signature that grows, the columns of a
// view with grants, a type that a function returns.
var changes = map[string][2]string{
	"functions/claim/claim.sql":                {"BEGIN\n", "BEGIN\n    -- changed\n"},
	"functions/workers/heartbeat.sql":          {"stuck integer DEFAULT 0)", "stuck integer DEFAULT 0, note text DEFAULT NULL)"},
	"functions/enqueue/enqueue_many.sql":       {"notify boolean DEFAULT true)", "notify boolean DEFAULT true, note text DEFAULT NULL)"},
	"views/worker_stats.sql":                   {"SELECT w.id, w.host", "SELECT w.host, w.id"},
	"types/job_options.sql":                    {"trace_context text)", "trace_context text, note text)"},
	"functions/priority/priority_level.sql":    {"SELECT coalesce(", "SELECT coalesce( "},
	"views/priority_distribution.sql":          {"c.queue, c.priority AS weight", "c.queue, c.priority + 0 AS weight"},
	"functions/partitions/drop_partitions.sql": {"RETURNS integer", "RETURNS bigint"},
}

func TestAnUpgradeKeepsGrantsAndTheWorkersOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	role(t, db, "reporter", grants.Reporter)
	_, producer := role(t, db, "producer", grants.Producer)
	_, working := role(t, db, "worker", grants.Worker)
	exec(t, db.Pool, "GRANT SELECT (host) ON penstock.worker_stats TO "+pgx.Identifier{db.Name + "_producer"}.Sanitize())

	client, err := penstock.NewClient(working, penstock.Config{})
	require.NoError(t, err)
	worker, err := penstock.NewWorker(client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {}}})
	require.NoError(t, err)
	var done atomic.Int64
	penstock.Handle(worker, "q", "n", func(context.Context, *penstock.Job[struct{}]) error { done.Add(1); return nil })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	works := func(why string) {
		t.Helper()
		before := done.Load()
		for range 20 {
			exec(t, producer, "SELECT penstock.enqueue('q', 'n')")
		}
		require.Eventually(t, func() bool { return done.Load() >= before+20 }, patience, 5*time.Millisecond, why)
	}
	works("before the upgrade")
	id := query[int64](t, db.Pool, "SELECT id FROM penstock.workers")
	hadGrants, had := granted(t, db.Pool), versions(t, db.Pool)

	upgraded := postgres.Migrator{Pool: db.Pool, Files: next(t, changes)}
	applied, err := upgraded.Up(t.Context())
	require.NoError(t, err)
	require.Len(t, applied, 1)

	require.Equal(t, hadGrants, granted(t, db.Pool), "every role may do what it could")
	has := versions(t, db.Pool)
	var replaced []string
	for signature, version := range has {
		if had[signature] != version {
			name, _, _ := strings.Cut(signature, "(")
			replaced = append(replaced, name)
		}
	}
	require.ElementsMatch(t, []string{
		"penstock.claim", "penstock.heartbeat", "penstock.enqueue_many", "penstock.read_options", "penstock.priority_level",
		"penstock.drop_partitions",
	}, replaced, "only what changed, and what depends on a changed type, is replaced")
	require.Len(t, has, len(had), "an older form of a function does not stay beside the new one")
	works("after the upgrade")
	require.Eventually(t, func() bool {
		return query[int64](t, db.Pool, "SELECT beat FROM penstock.workers WHERE id = $1", id) > 1
	}, patience, 10*time.Millisecond, "the worker that ran before still beats")
	require.NoError(t, postgres.Check(t.Context(), working), "this release is still served")

	// An older binary neither applies nor takes back anything by itself.
	here := postgres.Migrator{Pool: db.Pool}
	applied, err = here.Up(t.Context())
	require.NoError(t, err)
	require.Empty(t, applied)
	require.Equal(t, has, versions(t, db.Pool))

	// But it can bring its own functions, with one command.
	_, err = here.Functions(t.Context())
	require.NoError(t, err)
	require.Equal(t, hadGrants, granted(t, db.Pool))
	objects, err := here.Objects(t.Context())
	require.NoError(t, err)
	for _, o := range objects {
		require.Equal(t, postgres.InStep, o.State, o.Signature)
	}
	works("back at the release before")
	cancel()
	require.NoError(t, <-ended)
}
