package sqltest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// Nobody reaches a verb, a table or a sequence that was not granted to them.
func TestThePublicMayDoNothing(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	require.Empty(t, list[string](t, db.Pool, `SELECT p.oid::regprocedure::text FROM pg_proc p
		WHERE p.pronamespace = 'penstock'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1`))
	require.Empty(t, list[string](t, db.Pool, `SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.relnamespace = 'penstock'::regnamespace AND CASE
			WHEN c.relkind = 'S' THEN has_sequence_privilege('public', c.oid, 'USAGE, SELECT, UPDATE')
			WHEN c.relkind IN ('r', 'p', 'v') THEN has_table_privilege('public', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') END`))
	require.False(t, one[bool](t, db.Pool, "SELECT has_schema_privilege('public', 'penstock', 'USAGE, CREATE')"))
}

// A function that runs as the owner looks nowhere but in its own schema.
func TestDefinerFunctionsPinTheirSearchPath(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	require.Empty(t, list[string](t, db.Pool, `SELECT p.oid::regprocedure::text FROM pg_proc p
		WHERE p.pronamespace = 'penstock'::regnamespace AND p.prosecdef
		  AND NOT 'search_path=penstock, pg_temp' = ANY (coalesce(p.proconfig, '{}')) ORDER BY 1`))
	require.Greater(t, one[int](t, db.Pool, `SELECT count(*) FROM pg_proc p
		WHERE p.pronamespace = 'penstock'::regnamespace AND p.prosecdef`), 15, "there are such functions")
}

// Plans that touch little of large tables are not compiled: that would take longer than they do.
func TestNothingIsCompiled(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	require.Empty(t, list[string](t, db.Pool, `SELECT p.oid::regprocedure::text FROM pg_proc p
		WHERE p.pronamespace = 'penstock'::regnamespace AND 'search_path=penstock, pg_temp' = ANY (p.proconfig)
		  AND NOT 'jit=off' = ANY (p.proconfig) ORDER BY 1`))
}

// The hot verbs keep the planner to the keys.
func TestHotFunctionsPinThePlanner(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	probes := []string{"plan_cache_mode=force_generic_plan", "enable_seqscan=off", "jit=off"}
	joins := append([]string{"enable_hashjoin=off", "enable_mergejoin=off", "enable_bitmapscan=off", "enable_material=off"}, probes...)
	for name, pins := range map[string][]string{
		"claim": joins, "finish": joins, "end_attempts": joins, "take_idempotency_keys": joins, "enqueue_batch": joins,
		"expire_jobs": {"enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off", "jit=off"},
		"heartbeat":   probes, "next_due": probes, "enqueue_many": probes,
	} {
		t.Run(name, func(t *testing.T) {
			// enqueue_many's JSON form only unpacks for the other.
			require.Equal(t, 1, one[int](t, db.Pool, `SELECT count(*) FROM pg_proc p
				WHERE p.pronamespace = 'penstock'::regnamespace AND p.proname = $1 AND p.proconfig @> $2`, name, pins))
		})
	}
}

// granted makes a role of this test's own that may connect and call these verbs.
func granted(t *testing.T, db *testkit.DB, verbs ...string) string {
	t.Helper()
	role := db.Name + "_role"
	do(t, db.Pool, "CREATE ROLE "+role)
	t.Cleanup(func() { do(t, db.Pool, "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role) })
	do(t, db.Pool, "GRANT USAGE ON SCHEMA penstock TO "+role)
	for _, verb := range verbs {
		for _, signature := range list[string](t, db.Pool, `SELECT p.oid::regprocedure::text FROM pg_proc p
			WHERE p.pronamespace = 'penstock'::regnamespace AND p.proname = $1`, verb) {
			do(t, db.Pool, fmt.Sprintf("GRANT EXECUTE ON FUNCTION %s TO %s", signature, role))
		}
	}
	return role
}

// Who may call the verbs needs, and has, no right to what is behind them.
func TestVerbsNeedNoRightToTables(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	role := granted(t, db, "enqueue", "enqueue_many", "register_worker", "claim", "finish", "complete")
	conn := session(t, db)
	do(t, conn, "SET SESSION AUTHORIZATION "+role)
	by := worker(t, conn, "q")
	id := running(t, conn, by, "q", ", '{}', 7, idempotency_key => 'k', tags => ARRAY['x']")
	other := running(t, conn, by, "q", "")
	require.Equal(t, answer{"accepted", "failed", "retrying"}, say(t, conn, id, 1, "failed", "", ""))
	do(t, conn, "SELECT penstock.complete('q', $1, 1)", other)
	for _, sql := range []string{
		"SELECT data FROM penstock.jobs", "SELECT 1 FROM penstock.pending", "DELETE FROM penstock.running",
		"UPDATE penstock.retry_policies SET max_attempts = 1", "SELECT nextval('penstock.job_sequence')",
		"SELECT penstock.end_attempts('q', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)", "SELECT penstock.bury_orphans()",
		"SELECT penstock.cancel(1)", "CREATE TABLE penstock.mine ()",
	} {
		refused(t, try(conn, sql), "42501", "")
	}
}

// A role that lays its own tables, functions and operators in the path of the
// owner's functions gets none of them called, read or written.
func TestAPoisonedSearchPathHijacksNothing(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	verbs := list[string](t, db.Pool, `SELECT DISTINCT proname::text FROM pg_proc
		WHERE pronamespace = 'penstock'::regnamespace AND prosecdef ORDER BY 1`)
	role := granted(t, db, verbs...)
	do(t, db.Pool, "GRANT CREATE, TEMPORARY ON DATABASE "+db.Name+" TO "+role)
	conn := session(t, db)
	do(t, conn, "SET SESSION AUTHORIZATION "+role)
	for _, sql := range poison(t, db) {
		do(t, conn, sql)
	}
	do(t, conn, "SET search_path = evil, pg_temp, pg_catalog, penstock")

	by := worker(t, conn, "q")
	do(t, conn, "SELECT penstock.enqueue('q'::text, 'n'::text, '{}'::jsonb, 'high'::text)")
	id := running(t, conn, by, "q", ", '{}'::jsonb, 99, idempotency_key => 'k', tags => ARRAY['x']")
	do(t, conn, "SELECT penstock.heartbeat($1)", by)
	require.Equal(t, answer{"accepted", "failed", "retrying"}, say(t, conn, id, 1, "failed", "IOError", "m"))
	for _, sql := range []string{
		"SELECT penstock.enqueue_many('q', '[{\"name\": \"n\", \"data\": {\"metadata\": {\"tags\": [\"urgent\"]}}}]'::jsonb)",
		"SELECT penstock.next_due('q')", "SELECT penstock.start_listening('q')", "SELECT penstock.enqueue('q'::text, 'n'::text)",
		"SELECT penstock.stop_listening('q')", "SELECT penstock.cancel(" + fmt.Sprint(id) + ")", "SELECT penstock.bury(1, 99)",
		"SELECT penstock.bury_orphans()", "SELECT penstock.fail_overdue()", "SELECT penstock.expire_jobs()", "SELECT penstock.prune_keys()",
		"SELECT penstock.release_unheld('q', 1, NULL)", "SELECT penstock.ensure_partitions(9)", "SELECT penstock.drop_partitions()",
		"SELECT penstock.deregister_worker(" + fmt.Sprint(by) + ")",
	} {
		do(t, conn, sql)
	}
	refused(t, try(conn, "SELECT penstock.enqueue('q'::text, 'n'::text, max_attempts => 0)"), "PN400", "max_attempts")

	require.Equal(t, []string{role}, list[string](t, db.Pool, "SELECT DISTINCT who FROM evil.calls"),
		"the trap works, and only for who set it")
	for _, table := range poisoned {
		require.Zero(t, one[int](t, conn, "SELECT count(*) FROM evil."+table), table)
		require.Zero(t, one[int](t, conn, "SELECT count(*) FROM pg_temp."+table), table)
	}
	require.Equal(t, 3, one[int](t, db.Pool, "SELECT count(*) FROM penstock.pending"))
}

// poisoned are the tables that have a trap of their name.
var poisoned = []string{
	"jobs", "pending", "running", "attempts", "dead_jobs", "idempotency_keys", "workers", "queues", "settings",
	"partitions", "retry_policies", "priority_levels",
}

// poison lists what the hostile role creates: functions that note who calls them,
// under the names and types of Penstock's helpers and of the built-in functions it
// uses, an operator, and tables in a schema of its own and in pg_temp.
func poison(t *testing.T, db *testkit.DB) []string {
	all := []string{
		"CREATE SCHEMA evil", "CREATE TABLE evil.calls (who text, what text)",
		`CREATE FUNCTION evil.note(what text) RETURNS void LANGUAGE sql AS $$ INSERT INTO evil.calls VALUES (current_user, what) $$`,
		`GRANT ALL ON SCHEMA evil TO PUBLIC`, `GRANT ALL ON evil.calls TO PUBLIC`,
	}
	trap := func(name, arguments, result, value string) {
		all = append(all, fmt.Sprintf(`CREATE FUNCTION evil.%s(%s) RETURNS %s LANGUAGE plpgsql AS $$
			BEGIN PERFORM evil.note(%s); RETURN %s; END $$`, name, arguments, result, "'"+name+"'", value))
	}
	trap("clock_timestamp", "", "timestamptz", "now()")
	trap("hashtext", "text", "integer", "1")
	trap("cardinality", "anyarray", "integer", "0")
	trap("left", "text, integer", "text", "'x'")
	trap("jsonb_typeof", "jsonb", "text", "'object'")
	trap("extract", "text, timestamptz", "numeric", "1")
	trap("same", "bigint, bigint", "boolean", "true")
	all = append(all, "CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.same)")
	for _, signature := range list[string](t, db.Pool, `SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
		FROM pg_proc p WHERE p.pronamespace = 'penstock'::regnamespace AND NOT p.prosecdef AND p.prorettype = 'void'::regtype`) {
		name, arguments, _ := strings.Cut(signature, "(")
		trap(name, strings.TrimSuffix(arguments, ")"), "void", "")
	}
	for _, table := range poisoned {
		all = append(all, fmt.Sprintf("CREATE TABLE evil.%[1]s AS SELECT * FROM (SELECT 1 AS id) x WHERE false", table),
			fmt.Sprintf("CREATE TEMP TABLE %s (id bigint)", table))
	}
	// The trap is shown to work by whoever set it.
	return append(all, "SELECT evil.clock_timestamp()")
}
