package sqltest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// Bad input is refused by the database, whoever calls: the SQLSTATE is stable, the
// argument is named, and nothing has changed.
func TestBadInputIsRefusedByNameAndChangesNothing(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	one[int64](t, db.Pool, "SELECT penstock.enqueue('mail', 'welcome', '{}', idempotency_key => 'held')")
	before := everything(t, db.Pool)
	for _, c := range []struct {
		name, sql, argument string
	}{
		{"a queue needs a name", `enqueue('', 'n')`, "queue"},
		{"a queue is not null", `enqueue(NULL, 'n')`, "queue"},
		{"a queue's name has no space", `enqueue('a b', 'n')`, "queue"},
		{"a queue's name has no newline at its end", `enqueue(E'a\n', 'n')`, "queue"},
		{"a queue's name is ASCII", `enqueue('aé', 'n')`, "queue"},
		{"a queue's name has at most 128 characters", `enqueue(repeat('a', 129), 'n')`, "queue"},
		{"a job needs a name", `enqueue('q', NULL)`, "name"},
		{"a job's name has no star", `enqueue('q', '*')`, "name"},
		{"a job's name has at most 128 characters", `enqueue('q', repeat('a', 129))`, "name"},
		{"data is not null", `enqueue('q', 'n', NULL)`, "data"},
		{"data has at most 1 MiB", `enqueue('q', 'n', to_jsonb(repeat('a', 1048575)))`, "data"},
		{"weight 0 is too low", `enqueue('q', 'n', '{}', 0)`, "priority"},
		{"weight 101 is too high", `enqueue('q', 'n', '{}', 101)`, "priority"},
		{"a negative weight is none", `enqueue('q', 'n', priority => '-1')`, "priority"},
		{"a fraction is no weight", `enqueue('q', 'n', priority => '1.5')`, "priority"},
		{"an unknown level is none", `enqueue('q', 'n', priority => 'urgent')`, "priority"},
		{"a level is spelled in lower case", `enqueue('q', 'n', priority => 'High')`, "priority"},
		{"a delay is not negative", `enqueue('q', 'n', delay => '-1 ms')`, "delay"},
		{"a delay has at most 100 years", `enqueue('q', 'n', delay => '101 years')`, "delay"},
		{"delay and run_at exclude each other", `enqueue('q', 'n', delay => '1 s', run_at => now())`, "run_at"},
		{"run_at is finite", `enqueue('q', 'n', run_at => 'infinity')`, "run_at"},
		{"run_at is at most 100 years ahead", `enqueue('q', 'n', run_at => now() + interval '101 years')`, "run_at"},
		{"retry is an object", `enqueue('q', 'n', retry => '[]')`, "retry"},
		{"retry has no unknown field", `enqueue('q', 'n', retry => '{"attempts": 3}')`, "retry"},
		{"an unknown strategy is none", `enqueue('q', 'n', retry => '{"type": "random"}')`, "retry.type"},
		{"a strategy is a word", `enqueue('q', 'n', retry => '{"type": 1}')`, "retry.type"},
		{"a retry's delay is not negative", `enqueue('q', 'n', retry => '{"delay": -1}')`, "retry.delay"},
		{"a retry's delay is a number", `enqueue('q', 'n', retry => '{"delay": "1 s"}')`, "retry.delay"},
		{"a cap is at most 366 days", `enqueue('q', 'n', retry => '{"maxDelay": 31622400001}')`, "retry.maxDelay"},
		{"a multiplier does not shrink", `enqueue('q', 'n', retry => '{"backoffMultiplier": 0.9}')`, "retry.backoffMultiplier"},
		{"a multiplier is at most 1000", `enqueue('q', 'n', retry => '{"backoffMultiplier": 1e131071}')`, "retry.backoffMultiplier"},
		{"jitter is a share", `enqueue('q', 'n', retry => '{"jitter": 1.01}')`, "retry.jitter"},
		{"a retry's attempts are whole", `enqueue('q', 'n', retry => '{"maxAttempts": 1.5}')`, "retry.maxAttempts"},
		{"a retry's attempts are at least 1", `enqueue('q', 'n', retry => '{"maxAttempts": 0}')`, "retry.maxAttempts"},
		{"max_attempts is at least 1", `enqueue('q', 'n', max_attempts => 0)`, "max_attempts"},
		{"max_attempts is at most 100", `enqueue('q', 'n', max_attempts => 101)`, "max_attempts"},
		{"a timeout is positive", `enqueue('q', 'n', timeout => '0')`, "timeout"},
		{"expires_in is positive", `enqueue('q', 'n', expires_in => '-1 s')`, "expires_in"},
		{"tags are at most 32", `enqueue('q', 'n', tags => array_fill('t'::text, ARRAY[33]))`, "tags"},
		{"a tag is a name", `enqueue('q', 'n', tags => ARRAY['a b'])`, "tags"},
		{"an idempotency key is not empty", `enqueue('q', 'n', idempotency_key => '')`, "idempotency_key"},
		{"an idempotency key has at most 256 characters", `enqueue('q', 'n', idempotency_key => repeat('k', 257))`, "idempotency_key"},
		{"a trace context has at most 1024 characters", `enqueue('q', 'n', trace_context => repeat('t', 1025))`, "trace_context"},

		{"many: at most 10000", `enqueue_many('q', array_fill('n'::text, ARRAY[10001]), array_fill('1'::jsonb, ARRAY[10001]))`, "names"},
		{"many: as much data as names", `enqueue_many('q', ARRAY['a', 'b'], ARRAY['1'::jsonb])`, "data"},
		{"many: as many options as names", `enqueue_many('q', ARRAY['a'], ARRAY['1'::jsonb], ARRAY['{}', '{}']::jsonb[])`, "options"},
		{"many: options are objects", `enqueue_many('q', ARRAY['a'], ARRAY['1'::jsonb], ARRAY['[]']::jsonb[])`, "options"},
		{"many: no unknown option", `enqueue_many('q', ARRAY['a'], ARRAY['1'::jsonb], ARRAY['{"prio": 1}']::jsonb[])`, "options"},
		{"many: a null name is none", `enqueue_many('q', ARRAY[NULL, 'a']::text[], ARRAY['1', '1']::jsonb[])`, "name"},

		{"JSON: jobs is an array", `enqueue_many('q', '{"name": "n", "data": {}}'::jsonb)`, "jobs"},
		{"JSON: a job is an object", `enqueue_many('q', '["n"]'::jsonb)`, "jobs"},
		{"JSON: null is no array", `enqueue_many('q', NULL::jsonb)`, "jobs"},
		{"JSON: a job has a name", `enqueue_many('q', '[{"data": {}}]'::jsonb)`, "name"},
		{"JSON: a job has data", `enqueue_many('q', '[{"name": "n"}]'::jsonb)`, "data"},
		{"JSON: run_at is a timestamp", `enqueue_many('q', '[{"name": "n", "data": {}, "runAt": "soon"}]'::jsonb)`, "run_at"},
		{"JSON: a delay is a number", `enqueue_many('q', '[{"name": "n", "data": {}, "delay": "5"}]'::jsonb)`, "delay"},
		{"JSON: a delay has bounds", `enqueue_many('q', '[{"name": "n", "data": {}, "delay": 1e131071}]'::jsonb)`, "delay"},
		{"JSON: tags are a list", `enqueue_many('q', '[{"name": "n", "data": {}, "tags": "t"}]'::jsonb)`, "tags"},
		{"JSON: a null is no tag", `enqueue_many('q', '[{"name": "n", "data": {}, "tags": [null]}]'::jsonb)`, "tags"},
		{"JSON: a priority's weight has bounds", `enqueue_many('q', '[{"name": "n", "data": {}, "priority": {"weight": 1000}}]'::jsonb)`, "priority"},
		{"JSON: a list is no priority", `enqueue_many('q', '[{"name": "n", "data": {}, "priority": [5]}]'::jsonb)`, "priority"},
		{"JSON: max attempts are whole", `enqueue_many('q', '[{"name": "n", "data": {}, "maxAttempts": 2.5}]'::jsonb)`, "max_attempts"},

		{"a claim is of at least one job", `claim('q', 1, 0)`, "max_jobs"},
		{"a claim has a bound", `claim('q', 1, NULL)`, "max_jobs"},
		{"a lease lasts", `claim('q', 1, 1, '0')`, "default_timeout"},
		{"finish: as many attempts as jobs", `finish('q', ARRAY[1, 2], ARRAY[1])`, "attempts"},
		{"finish: lost is not a worker's word", `finish('q', ARRAY[1], ARRAY[1], ARRAY['lost'])`, "outcomes"},
		{"finish: arrays of one length", `finish('q', ARRAY[1, 2], ARRAY[1, 1], ARRAY['failed'])`, "outcomes"},
		{"finish: a delay has a bound", `finish('q', ARRAY[1], ARRAY[1], ARRAY['snoozed'], delays => ARRAY['367 days'::interval])`, "delays"},
		{"finish: a result has at most 1 MiB", `finish('q', ARRAY[1], ARRAY[1], results => ARRAY[to_jsonb(repeat('a', 1048576))])`, "results"},
		{"a worker serves a queue", `register_worker('{}')`, "queues"},
		{"a worker's queues have names", `register_worker(ARRAY['a', 'b c'])`, "queues"},
		{"partitions are made 366 days ahead at most", `ensure_partitions(367)`, "days_ahead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := try(db.Pool, "SELECT penstock."+c.sql)
			refused(t, err, "PN400", c.argument)
			require.Less(t, len(err.Error()), 500, "the message quotes no more than a glimpse")
			require.Equal(t, before, everything(t, db.Pool))
		})
	}
}

// What jsonb itself cannot hold, Postgres refuses before any verb sees it.
func TestANulInDataIsRefused(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	refused(t, try(db.Pool, `SELECT penstock.enqueue('q', 'n', '{"a": "\u0000"}')`), "22P05", "")
	require.Zero(t, one[int](t, db.Pool, "SELECT count(*) FROM penstock.jobs"))
}

// A few kilobytes of JSON can stand for gigabytes of text: 1e131071 is written out
// with 131,072 digits. Weighing such data must not write it out.
func TestNumbersThatSwellAreRefusedWithoutWritingThemOut(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, c := range []struct{ name, number string }{
		{"numbers of many digits", "1e131071"},
		{"numbers of many decimals", "1e-16383"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bomb := "[" + strings.Repeat(c.number+",", 100_000) + "1]"
			conn := session(t, db)
			do(t, conn, "SET statement_timeout = '5s'")
			refused(t, try(conn, "SELECT penstock.enqueue('q', 'n', $1::jsonb)", bomb), "PN400", "data")
			refused(t, try(conn, `SELECT penstock.enqueue_many('q', jsonb_build_array(jsonb_build_object('name', 'n', 'data', $1::jsonb)))`,
				bomb), "PN400", "data")
			refused(t, try(conn, "SELECT penstock.finish('q', ARRAY[1], ARRAY[1], results => ARRAY[$1::jsonb])", bomb), "PN400", "results")
		})
	}
	require.Zero(t, one[int](t, db.Pool, "SELECT count(*) FROM penstock.jobs"))
}

// The limits themselves are allowed.
func TestTheLargestAllowedInputIsTaken(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, c := range []struct{ name, sql string }{
		{"names of 128 characters of every kind", `enqueue(repeat('a', 117) || 'Z0-_.:/9xyz', repeat('n', 128))`},
		{"data of 1 MiB", `enqueue('q', 'n', to_jsonb(repeat('a', 1048574)))`},
		{"data that is a JSON null", `enqueue('q', 'n', 'null')`},
		{"weight 1", `enqueue('q', 'n', '{}', 1)`},
		{"weight 100", `enqueue('q', 'n', '{}', 100)`},
		{"100 attempts", `enqueue('q', 'n', max_attempts => 100)`},
		{"32 tags", `enqueue('q', 'n', tags => array_fill('t'::text, ARRAY[32]))`},
		{"a key of 256 characters", `enqueue('q', 'n', idempotency_key => repeat('é', 256))`},
		{"a retry of bounds", `enqueue('q', 'n', retry => '{"type": "custom", "delay": 31622400000, "maxDelay": 0,
			"backoffMultiplier": 1000, "jitter": 1, "maxAttempts": 100}')`},
		{"an empty batch", `enqueue_many('q', '[]'::jsonb)`},
		{"10000 jobs", `enqueue_many('q', array_fill('n'::text, ARRAY[10000]), array_fill('1'::jsonb, ARRAY[10000]))`},
	} {
		t.Run(c.name, func(t *testing.T) { do(t, db.Pool, "SELECT penstock."+c.sql) })
	}
}
