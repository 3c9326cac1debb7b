package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/command"
	"github.com/penstock/penstock/internal/grants"
	"github.com/penstock/penstock/internal/testkit"
)

func catalog(t *testing.T, db *testkit.DB, query string) []string {
	t.Helper()
	rows, err := db.Pool.Query(context.Background(), query)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

func TestEveryFunctionHasARowInTheGrants(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, f := range grants.Functions {
		listed = append(listed, f.Signature)
	}
	require.ElementsMatch(t, catalog(t, testkit.New(t), `SELECT p.proname || '(' || oidvectortypes(p.proargtypes) || ')'
		FROM pg_proc p WHERE p.pronamespace = 'penstock'::regnamespace`), listed,
		"decide in internal/grants who may call a new function")
}

func TestEveryTableAndViewHasARowInTheGrants(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, r := range grants.Relations {
		listed = append(listed, r.Name)
	}
	require.ElementsMatch(t, catalog(t, testkit.New(t), `SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = 'penstock'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition`), listed,
		"decide in internal/grants who may read a new table or view")
}

// A function that an ordinary role may call must run as the owner with a pinned path,
// or only read what the role may read itself.
func TestGrantedFunctionsThatWriteRunAsTheirOwner(t *testing.T) {
	t.Parallel()
	unsafe := catalog(t, testkit.New(t), `SELECT p.proname || '(' || oidvectortypes(p.proargtypes) || ')'
		FROM pg_proc p WHERE p.pronamespace = 'penstock'::regnamespace
		AND NOT (p.prosecdef AND EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=penstock, pg_temp'))
		AND p.provolatile = 'v'`)
	for _, f := range grants.Functions {
		if f.To != grants.Internal {
			require.NotContains(t, unsafe, f.Signature)
		}
	}
}

// roleURL makes a role with the duties and returns the database's URL as that role.
func roleURL(t *testing.T, db *testkit.DB, duties ...string) string {
	t.Helper()
	ctx := context.Background()
	role := db.Name + "_" + strings.Join(duties, "_") // roles are the whole server's
	var script strings.Builder
	require.NoError(t, runGrants(&script, role, duties))
	quoted := pgx.Identifier{role}.Sanitize()
	_, err := db.Pool.Exec(ctx, "CREATE ROLE "+quoted)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := db.Pool.Exec(ctx, fmt.Sprintf("DROP OWNED BY %[1]s; DROP ROLE %[1]s", quoted))
		require.NoError(t, err)
	})
	for range 2 { // it may be repeated
		_, err = db.Pool.Exec(ctx, script.String())
		require.NoError(t, err)
	}
	u, err := url.Parse(db.URL)
	require.NoError(t, err)
	query := u.Query()
	query.Set("role", role)
	u.RawQuery = query.Encode()
	return u.String()
}

func TestEachRoleDoesItsWorkThroughTheCommands(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	as := map[string][]string{}
	for _, known := range grants.Duties {
		as[known.Name] = []string{"DATABASE_URL=" + roleURL(t, db, known.Name), "PATH=/usr/bin:/bin"}
	}

	enqueued := call(t, as["producer"], "", "enqueue", "q", "n", `"data"`, "--tag", "t", "--idempotency-key", "k", "--max-attempts", "2")
	require.Equal(t, command.ExitDone, enqueued.code, enqueued.stderr)
	id := strings.TrimSpace(enqueued.stdout)

	worked := call(t, as["worker"], "", "work", "--queue", "q", "--drain", "--", "cat")
	require.Equal(t, command.ExitDone, worked.code, worked.stderr)
	require.NotContains(t, worked.stderr, "42501", "upkeep needs more than was granted")

	shown := call(t, as["operator"], "", "job", "get", id)
	require.Equal(t, command.ExitDone, shown.code, shown.stderr)
	require.Regexp(t, `state +completed`, shown.stdout)
	cancelled := call(t, as["operator"], "", "job", "cancel", id)
	require.Equal(t, command.ExitDone, cancelled.code, cancelled.stderr)
	for _, args := range [][]string{
		{"dlq", "list"},
		{"policy", "list"},
		{"policy", "set", "q", "--delay", "1s"},
		{"policy", "preview", "q"},
		{"policy", "remove", "q"},
		{"rule", "set", "q", "1", "$.a", "high"},
		{"rule", "test", "q", "{}"},
		{"rule", "remove", "q", "1"},
		{"level", "set", "l", "7"},
		{"level", "remove", "l"},
		{"tag", "set", "t", "-4"},
		{"tag", "remove", "t"},
		{"breaker", "set", "q"},
		{"breaker", "remove", "q"},
		{"queue", "set", "q", "--aging", "0.1"},
		{"queue", "show", "q"},
	} {
		done := call(t, as["operator"], "", args...)
		require.Equal(t, command.ExitDone, done.code, "%v: %s", args, done.stderr)
	}
	counted := call(t, as["reporter"], "", "queue", "show", "q")
	require.Equal(t, command.ExitDone, counted.code, counted.stderr)
	for _, line := range []string{
		"dlq list", "dlq groups", "dlq stats", "dlq policy q --delay 2h", "dlq purge --older-than 30d --yes", "dlq redrive q --dry-run",
		"dlq redrive status", "job list", "job explain " + id, "job wait " + id, "job cancel --queue q --yes", "queue list",
		"queue pause q", "queue resume q", "audit", "verify",
	} {
		got := call(t, append(as["operator"], "USER=ann"), "", strings.Fields(line)...)
		require.Equal(t, command.ExitDone, got.code, "%s: %s", line, got.stderr)
	}

	for _, c := range []struct {
		who  string
		args []string
	}{
		{"worker", []string{"enqueue", "q", "n"}},
		{"operator", []string{"enqueue", "q", "n"}},
		{"reporter", []string{"enqueue", "q", "n"}},
		{"producer", []string{"job", "get", id}},
		{"reporter", []string{"job", "get", id}},
		{"worker", []string{"dlq", "list"}},
		{"reporter", []string{"dlq", "list"}},
		{"producer", []string{"job", "cancel", id}},
		{"worker", []string{"job", "cancel", id}},
		{"worker", []string{"policy", "set", "q", "--delay", "1s"}},
		{"reporter", []string{"policy", "get", "q"}},
		{"reporter", []string{"rule", "list"}},
		{"reporter", []string{"queue", "set", "q", "--aging", "1"}},
		{"producer", []string{"queue", "show", "q"}},
		{"reporter", []string{"audit"}},
		{"reporter", []string{"dlq", "groups"}},
		{"worker", []string{"dlq", "purge", "--older-than", "0s", "--yes"}},
		{"producer", []string{"queue", "pause", "q"}},
		{"worker", []string{"verify"}},
		{"reporter", []string{"verify"}},
	} {
		got := call(t, as[c.who], "", c.args...)
		require.Equal(t, command.ExitFailed, got.code, "%s %v", c.who, c.args)
		require.Contains(t, got.stderr, "42501", "%s %v", c.who, c.args)
		require.Contains(t, got.stderr, "penstock grants", "%s %v", c.who, c.args)
	}
}

func TestEachRoleMayCallItsVerbsAndNoOthers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := testkit.New(t)
	pools := map[string]*pgxpool.Pool{}
	for _, known := range grants.Duties {
		pool, err := pgxpool.New(ctx, roleURL(t, db, known.Name))
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		pools[known.Name] = pool
	}
	for _, c := range []struct {
		statement string
		may       []string
	}{
		{`SELECT penstock.enqueue('q', 'n')`, []string{"producer"}},
		{`SELECT penstock.enqueue('q', 'n', '{}', 10)`, []string{"producer"}},
		{`SELECT penstock.enqueue_many('q', '{n}'::text[], '{"{}"}'::jsonb[])`, []string{"producer"}},
		{`SELECT penstock.enqueue_many('q', '[{"name": "n", "data": 1}]'::jsonb)`, []string{"producer"}},
		{`SELECT penstock.register_worker('{q}')`, []string{"worker"}},
		{`SELECT penstock.heartbeat(1)`, []string{"worker"}},
		{`SELECT * FROM penstock.claim('q', (SELECT max(id) FROM penstock.workers), 1)`, []string{"worker"}},
		{`SELECT penstock.next_due('q')`, []string{"worker"}},
		{`SELECT * FROM penstock.finish('q', '{1}', '{1}')`, []string{"worker"}},
		{`SELECT penstock.release_unheld('q', 1, '{}')`, []string{"worker"}},
		{`DO $$ BEGIN PERFORM penstock.fail('q', 1, 1); EXCEPTION WHEN SQLSTATE 'PN409' THEN NULL; END $$`, []string{"worker"}},
		{`DO $$ BEGIN PERFORM penstock.snooze('q', 1, 1, '0'); EXCEPTION WHEN SQLSTATE 'PN409' THEN NULL; END $$`, []string{"worker"}},
		{`DO $$ BEGIN PERFORM penstock.release('q', 1, 1); EXCEPTION WHEN SQLSTATE 'PN409' THEN NULL; END $$`, []string{"worker"}},
		{`SELECT penstock.deregister_worker(1)`, []string{"worker"}},
		{`SELECT penstock.bury(1, 1), penstock.bury_orphans(), penstock.fail_overdue(), penstock.expire_jobs(), penstock.prune_keys()`, []string{"worker"}},
		{`SELECT penstock.ensure_partitions(), penstock.drop_partitions()`, []string{"worker"}},
		{`SELECT penstock.cancel(1)`, []string{"operator"}},
		{`SELECT penstock.progress('q', 1, 1, 50)`, []string{"worker"}},
		{`SELECT penstock.advance_redrives(), penstock.purge_expired_dead()`, []string{"worker"}},
		{`SELECT penstock.process_scheduled_retries()`, []string{"worker", "operator"}},
		{`SELECT penstock.reprioritize(1, 'high'), penstock.reschedule(1), penstock.change_jobs('cancel', '{"state": "running"}')`, []string{"operator"}},
		{`SELECT penstock.find_jobs('{}', NULL, 1, 1), penstock.find_dead('q', '{}', NULL, NULL, 1, 1), penstock.count_dead('q', '{}')`, []string{"operator"}},
		{`SELECT penstock.explain(1)`, []string{"operator"}},
		{`SELECT penstock.start_redrive(current_user), penstock.control_redrive(1, 'pause')`, []string{"operator"}},
		{`SELECT penstock.purge_dead('q'), penstock.resolve_error('q', 'f'), penstock.set_dead_policy('mine', '2 hours')`, []string{"operator"}},
		{`SELECT penstock.pause_queue('mine'), penstock.resume_queue('mine')`, []string{"operator"}},
		{`SELECT * FROM penstock.audit_log`, []string{"operator"}},
		{`SELECT example FROM penstock.error_groups`, []string{"operator"}},
		{`SELECT filter FROM penstock.redrives`, []string{"operator"}},
		{`SELECT progress_note FROM penstock.running`, []string{"worker", "operator"}},
		{`SELECT progress_note FROM penstock.job_states`, []string{"operator"}},
		{`SELECT queue, fingerprint, jobs, resolved FROM penstock.error_groups`, []string{"operator", "reporter"}},
		{`SELECT id, state, total, redriven, note FROM penstock.redrives`, []string{"operator", "reporter"}},
		{`SELECT * FROM penstock.departures, penstock.resolved_errors, penstock.dead_policies`, []string{"operator", "reporter"}},
		{`SELECT penstock.redrive_entries('{}', '{}')`, nil},
		{`SELECT penstock.end_attempt('q', 1, 1, 'released')`, nil},
		{`SELECT * FROM penstock.verify()`, []string{"operator"}},
		{`SELECT code FROM penstock.verify_checks`, []string{"operator", "reporter"}},
		{`SELECT penstock.audit('a', 'b', NULL, NULL)`, nil},
		{`DELETE FROM penstock.audit_log`, nil},
		{`SELECT penstock.set_queue('mine', 'high', 0.5)`, []string{"operator"}},
		{`SELECT penstock.set_policy('mine', '*', '{"delay": 1000}'), penstock.set_rule('mine', 1, '$.a', 'high')`, []string{"operator"}},
		{`SELECT penstock.set_level('mine', 7), penstock.set_tag('mine', 1), penstock.set_breaker('mine')`, []string{"operator"}},
		{`SELECT penstock.preview_policy('mine'), penstock.decide_priority('mine', '{}')`, []string{"operator"}},
		{`SELECT penstock.get_policy('mine')`, []string{"worker", "operator"}},
		{`SELECT * FROM penstock.priority_distribution`, []string{"operator", "reporter"}},
		{`SELECT * FROM penstock.breaker_states`, []string{"operator", "reporter"}},
		{`SELECT condition FROM penstock.priority_rules`, []string{"operator"}},
		{`SELECT message FROM penstock.priority_rule_errors`, []string{"operator"}},
		{`SELECT data FROM penstock.jobs`, []string{"operator"}},
		{`SELECT message, detail, result FROM penstock.attempts`, []string{"operator"}},
		{`SELECT data FROM penstock.dead_jobs`, []string{"operator"}},
		{`SELECT message FROM penstock.dead_jobs`, []string{"operator"}},
		{`SELECT data FROM penstock.leases`, []string{"operator"}},
		{`SELECT * FROM penstock.idempotency_keys`, []string{"operator"}},
		{`SELECT id, queue, name, tags FROM penstock.jobs`, []string{"operator", "reporter"}},
		{`SELECT job_id, outcome, error_class, fingerprint FROM penstock.attempts`, []string{"operator", "reporter"}},
		{`SELECT job_id, reason, fingerprint FROM penstock.dead_jobs`, []string{"operator", "reporter"}},
		{`SELECT state, count(*) FROM penstock.job_states GROUP BY 1`, []string{"operator", "reporter"}},
		{`SELECT queue, count(*) FROM penstock.pending GROUP BY 1`, []string{"worker", "operator", "reporter"}},
		{`SELECT max(version_id) FROM penstock.schema_migrations`, []string{"producer", "worker", "operator", "reporter"}},
		{`DELETE FROM penstock.jobs`, nil},
		{`INSERT INTO penstock.retry_policies (queue) VALUES ('mine')`, nil},
		{`UPDATE penstock.queues SET paused = false`, nil},
		{`DELETE FROM penstock.priority_rules`, nil},
		{`DELETE FROM penstock.dead_jobs`, nil},
		{`INSERT INTO penstock.pending SELECT * FROM penstock.pending`, nil},
		{`SELECT penstock.notify_queue('q')`, nil},
		{`SELECT * FROM penstock.end_attempts('q', '{1}', '{1}', '{completed}', NULL, NULL, NULL, NULL, NULL)`, nil},
		{`CREATE TABLE penstock.mine ()`, nil},
		{`DROP TABLE penstock.jobs`, nil},
	} {
		for who, pool := range pools {
			_, err := pool.Exec(ctx, c.statement)
			if slices.Contains(c.may, who) {
				require.NoError(t, err, "%s: %s", who, c.statement)
				continue
			}
			refused, ok := errors.AsType[*pgconn.PgError](err)
			require.True(t, ok, "%s must not: %s (%v)", who, c.statement, err)
			require.Equal(t, "42501", refused.Code, "%s: %s", who, c.statement)
		}
	}
}
