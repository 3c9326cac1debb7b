package sqltest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock/internal/testkit"
)

// kept is a new job as its two rows have it, with times relative to the enqueue.
type kept struct {
	Name, Data                        string
	Priority, Asked, MaxAttempts      int
	Wait, Expires, Timeout            string
	Tags                              []string
	Retry, TraceContext               string
	PendingExpires, PendingTimesAgree bool
}

func keep(t tester, q querier, id int64) kept {
	t.Helper()
	all := rows(t, q, pgx.RowToStructByPos[kept], `
		SELECT j.name, j.data::text, p.priority, coalesce(j.asked_priority, 0), coalesce(j.max_attempts, 0),
			(p.run_at - j.enqueued_at)::text, coalesce((j.expires_at - j.enqueued_at)::text, ''), coalesce(j.timeout::text, ''),
			j.tags, coalesce(j.retry::text, ''), coalesce(j.trace_context, ''),
			p.expires_at IS NOT NULL, p.expires_at IS NOT DISTINCT FROM j.expires_at AND p.timeout IS NOT DISTINCT FROM j.timeout
		FROM penstock.jobs j JOIN penstock.pending p ON p.job_id = j.id AND p.queue = j.queue WHERE j.id = $1`, id)
	require.Len(t, all, 1)
	require.True(t, all[0].PendingTimesAgree, "both rows have the times")
	return all[0]
}

// Every argument has a name, a default, and an effect.
func TestEnqueueTakesNamedArguments(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	plain := kept{Name: "n", Data: "{}", Priority: 5, Wait: "00:00:00", PendingTimesAgree: true}
	for _, c := range []struct {
		name, sql string
		change    func(*kept)
	}{
		{"a queue and a name are enough", `enqueue('q', 'n')`, func(*kept) {}},
		{"data is any JSON", `enqueue('q', 'n', '[1, "two"]')`, func(k *kept) { k.Data = `[1, "two"]` }},
		{"priority is a weight", `enqueue('q', 'n', '{}', 42)`, func(k *kept) { k.Priority, k.Asked = 42, 42 }},
		{"or a weight by name", `enqueue('q', 'n', '{}', priority => 42)`, func(k *kept) { k.Priority, k.Asked = 42, 42 }},
		{"or a weight as text", `enqueue('q', 'n', '{}', '42')`, func(k *kept) { k.Priority, k.Asked = 42, 42 }},
		{"or a level", `enqueue('q', 'n', priority => 'critical')`, func(k *kept) { k.Priority, k.Asked = 20, 20 }},
		{"the weight has the other arguments too", `enqueue('q', 'n', '{}', 1, delay => '1 hour', tags => ARRAY['a'])`, func(k *kept) {
			k.Priority, k.Asked, k.Wait, k.Tags = 1, 1, "01:00:00", []string{"a"}
		}},
		{"delay is from now", `enqueue('q', 'n', delay => '90 seconds')`, func(k *kept) { k.Wait = "00:01:30" }},
		{"a run_at that is past means now", `enqueue('q', 'n', run_at => '2001-01-01')`, func(*kept) {}},
		{"a timeout", `enqueue('q', 'n', timeout => '1500 ms')`, func(k *kept) { k.Timeout = "00:00:01.5" }},
		{"expires_in is from now", `enqueue('q', 'n', expires_in => '2 hours')`, func(k *kept) {
			k.Expires, k.PendingExpires = "02:00:00", true
		}},
		{"max_attempts", `enqueue('q', 'n', max_attempts => 7)`, func(k *kept) { k.MaxAttempts = 7 }},
		{"retry keeps what it brought and no more", `enqueue('q', 'n', retry => '{"type": "fixed", "delay": 250}')`, func(k *kept) {
			k.Retry = `{"type": "fixed", "delay": 250}`
		}},
		{"an empty retry is none", `enqueue('q', 'n', retry => '{}')`, func(*kept) {}},
		{"tags keep their order", `enqueue('q', 'n', tags => ARRAY['b', 'a'])`, func(k *kept) { k.Tags = []string{"b", "a"} }},
		{"trace_context", `enqueue('q', 'n', trace_context => '00-ab')`, func(k *kept) { k.TraceContext = "00-ab" }},
		{"notify is the caller's choice", `enqueue('q', 'n', notify => false)`, func(*kept) {}},
		{"JSON has the same options", `enqueue_many('q', '[{"name": "n", "data": {}, "priority": {"level": "high"}, "delay": 90000.5,
			"timeout": 1500, "expiresIn": 7200000, "maxAttempts": 7, "retryStrategy": {"jitter": 0}, "tags": ["a"],
			"traceContext": "tc"}]'::jsonb))[1`, func(k *kept) {
			*k = kept{
				"n", "{}", 10, 10, 7, "00:01:30.0005", "02:00:00", "00:00:01.5", []string{"a"}, `{"jitter": 0}`, "tc", true, true,
			}
		}},
		{"JSON: a weight goes before a level", `enqueue_many('q', '[{"name": "n", "data": {}, "priority": {"level": "high", "weight": 11}}]'::jsonb))[1`, func(k *kept) {
			k.Priority, k.Asked = 11, 11
		}},
		{"JSON: nulls are as left out", `enqueue_many('q', '[{"name": "n", "data": {}, "priority": null, "delay": null, "runAt": null,
			"retryStrategy": null, "maxAttempts": null, "timeout": null, "expiresIn": null, "tags": null, "idempotencyKey": null,
			"traceContext": null}]'::jsonb))[1`, func(*kept) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sql := "SELECT penstock." + c.sql
			if strings.HasSuffix(sql, "[1") {
				sql = "SELECT (penstock." + c.sql + "]"
			}
			expected := plain
			c.change(&expected)
			require.Equal(t, expected, keep(t, db.Pool, one[int64](t, db.Pool, sql)))
		})
	}
}

// run_at is an absolute moment.
func TestRunAtIsKeptToTheMicrosecond(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	require.True(t, one[bool](t, db.Pool, `WITH asked AS (SELECT clock_timestamp() + interval '1 day 1 microsecond' AS at),
		put AS MATERIALIZED (SELECT penstock.enqueue('q', 'n', run_at => at) AS id FROM asked)
		SELECT put.id > 0 FROM put`))
	require.True(t, one[bool](t, db.Pool, `SELECT run_at - (SELECT enqueued_at FROM penstock.jobs)
		BETWEEN interval '23:59:50' AND interval '1 day 1 microsecond' FROM penstock.pending`))
	at := "2090-01-02 03:04:05.678901+00"
	do(t, db.Pool, "SELECT penstock.enqueue('exact', 'n', run_at => $1::text::timestamptz)", at)
	require.True(t, one[bool](t, db.Pool, "SELECT run_at = $1::text::timestamptz FROM penstock.pending WHERE queue = 'exact'", at))
}

// A queue's row gives the weight of jobs that ask for none.
func TestAQueueGivesTheUsualPriority(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	do(t, db.Pool, "INSERT INTO penstock.queues (queue, default_priority) VALUES ('q', 33)")
	require.Equal(t, 33, keep(t, db.Pool, one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n')")).Priority)
	require.Equal(t, 33, keep(t, db.Pool, one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n', max_attempts => 2)")).Priority)
	require.Equal(t, 1, keep(t, db.Pool, one[int64](t, db.Pool, "SELECT penstock.enqueue('q', 'n', priority => 'low')")).Priority)
}

// An enqueue exists if and only if its transaction commits.
func TestARolledBackEnqueueLeavesNothing(t *testing.T) { // P2
	t.Parallel()
	db := testkit.New(t)
	before := everything(t, db.Pool)

	tx := begin(t, db.Pool)
	for _, sql := range []string{
		`SELECT penstock.enqueue('q', 'n', idempotency_key => 'k')`,
		`SELECT penstock.enqueue_many('q', ARRAY['a', 'b'], ARRAY['1', '2']::jsonb[])`,
	} {
		do(t, tx, sql)
	}
	require.EqualValues(t, 3, one[int](t, tx, "SELECT count(*) FROM penstock.pending"), "it is there within the transaction")
	require.Equal(t, before, everything(t, db.Pool), "and nowhere else")
	do(t, tx, "ROLLBACK")
	require.Equal(t, before, everything(t, db.Pool))

	tx = begin(t, db.Pool)
	do(t, tx, "SAVEPOINT s")
	do(t, tx, "SELECT penstock.enqueue('q', 'n', idempotency_key => 'k')")
	do(t, tx, "ROLLBACK TO s")
	id := one[int64](t, tx, "SELECT penstock.enqueue('q', 'n', idempotency_key => 'k')")
	commit(t, tx)
	require.Equal(t, []int64{id}, list[int64](t, db.Pool, "SELECT job_id FROM penstock.pending"))
}

// One bad job refuses the whole call, and its number is told.
func TestOneBadJobRefusesTheWholeCall(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	before := everything(t, db.Pool)
	for _, c := range []struct{ name, sql, argument string }{
		{"a bad name", `enqueue_many('q', ARRAY['a', 'b c', 'd'], ARRAY['1', '1', '1']::jsonb[])`, "name"},
		{"no data", `enqueue_many('q', ARRAY['a', 'b', 'd'], ARRAY['1', NULL, '1']::jsonb[])`, "data"},
		{
			"a bad option behind a key that was taken",
			`enqueue_many('q', '[{"name": "a", "data": 1, "idempotencyKey": "k"}, {"name": "b", "data": 1, "delay": -1}]'::jsonb)`,
			"delay",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := try(db.Pool, "SELECT penstock."+c.sql)
			refused(t, err, "PN400", c.argument)
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg)
			require.Equal(t, "Job 2 of the call.", pg.Detail)
			require.Equal(t, before, everything(t, db.Pool))
		})
	}
}

// One job goes a shorter way than many, and is kept alike.
func TestOneJobIsKeptAsOneOfManyIs(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	do(t, db.Pool, "INSERT INTO penstock.queues (queue, default_priority) VALUES ('usual', 33)")
	do(t, db.Pool, `SELECT penstock.set_rule('ruled', 1, '$.vip == true', 'critical')`)
	for _, queue := range []string{"q", "usual", "ruled"} {
		for _, data := range []string{`{}`, `null`, `{"vip": true}`, `{"metadata": {"tags": ["urgent"]}}`, `{"metadata": {"tags": ["of no weight"]}}`} {
			for _, options := range []string{
				`NULL`, `'{}'`, `'{"priority": 7}'`, `'{"priority": "high"}'`, `'{"priority": {"level": "low"}}'`, `'{"priority": null}'`,
				`'{"delay": 90000}'`, `'{"delay": 0.001}'`, `'{"runAt": "2001-01-01"}'`, `'{"retryStrategy": {"type": "fixed", "delay": 5}}'`,
				`'{"maxAttempts": 3, "timeout": 1500, "expiresIn": 60000}'`, `'{"tags": ["urgent", "batch"]}'`, `'{"tags": ["mine"]}'`,
				`'{"tags": []}'`, `'{"traceContext": "t", "tags": null, "runAt": null}'`, `'{"idempotencyKey": null}'`,
			} {
				t.Run(queue+" "+data+" "+options, func(t *testing.T) {
					tx := begin(t, db.Pool)
					defer tx.Rollback(t.Context())
					call := func(of int) int64 {
						return one[[]int64](t, tx, fmt.Sprintf(`SELECT penstock.enqueue_many($1, array_fill('n'::text, ARRAY[%[1]d]),
							array_fill($2::jsonb, ARRAY[%[1]d]), array_fill(%[2]s::jsonb, ARRAY[%[1]d]))`, of, options), queue, data)[of-1]
					}
					alone, among := call(1), call(2)
					require.Equal(t, keep(t, tx, among), keep(t, tx, alone))
					require.Equal(t, []int{1, 2}, list[int](t, tx, "SELECT jobs FROM penstock.tallies WHERE queue = $1 ORDER BY at", queue))
					due := list[float64](t, tx, "SELECT coalesce(later, 0)::float / jobs FROM penstock.tallies WHERE queue = $1 ORDER BY at", queue)
					require.Equal(t, due[1], due[0], "the share that is due later only")
				})
			}
		}
	}
}

// Arrays of other bounds or dimensions say the same as plain ones.
func TestOddArraysAreRead(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, options := range []string{
		`ARRAY[%s::jsonb]`, `ARRAY[ARRAY[%s::jsonb]]`, `ARRAY[ARRAY[ARRAY[%s::jsonb]]]`,
		`(SELECT ('[0:0]={' || to_json(%s::text) || '}')::jsonb[])`, `(SELECT ('[2:2]={' || to_json(%s::text) || '}')::jsonb[])`,
	} {
		for _, names := range []string{`'{n}'`, `'{{n}}'`, `'[0:0]={n}'`} {
			call := "SELECT penstock.enqueue_many('q', " + names + "::text[], '{1}'::jsonb[], " + options + ")"
			id := one[[]int64](t, db.Pool, fmt.Sprintf(call, `'{"priority": 90, "delay": 60000}'`))[0]
			k := keep(t, db.Pool, id)
			require.Equal(t, []any{90, "00:01:00"}, []any{k.Priority, k.Wait}, options)
			refused(t, try(db.Pool, fmt.Sprintf(call, `'{"bogus": 1}'`)), "PN400", "options")
		}
	}
}

// Ids are in the order of the jobs, whatever their options.
func TestIdsComeBackInOrder(t *testing.T) {
	t.Parallel()
	db := testkit.New(t)
	for _, sql := range []string{
		`enqueue_many('q', ARRAY['a', 'b', 'c'], ARRAY['0', '1', '2']::jsonb[])`,
		`enqueue_many('q', ARRAY['a', 'b', 'c'], ARRAY['0', '1', '2']::jsonb[], ARRAY['{"delay": 60000}', NULL, '{"priority": 9}']::jsonb[])`,
		`enqueue_many('q', '[{"name": "a", "data": 0, "priority": 1}, {"name": "b", "data": 1}, {"name": "c", "data": 2, "priority": 99}]'::jsonb)`,
	} {
		enqueued := one[[]int64](t, db.Pool, "SELECT penstock."+sql)
		require.Equal(t, []int64{0, 1, 2}, list[int64](t, db.Pool,
			"SELECT j.data::int FROM unnest($1::bigint[]) WITH ORDINALITY u(id, nth) JOIN penstock.jobs j USING (id) ORDER BY nth", enqueued))
	}
}
