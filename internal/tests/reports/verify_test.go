package reports_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/penstock/penstock"
)

// world is a database with a job in every state, each under a name of its own.
func world(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t)
	f.exec(t, `DO $$
DECLARE
	w CONSTANT bigint := penstock.register_worker('{q}', version => 'v7');
BEGIN
	PERFORM penstock.enqueue('q', n) FROM unnest('{completed,snoozed,retrying,dead,redriven,purged,rerun}'::text[]) n;
	COMMIT; -- a claim takes what was due when its transaction began
	-- First runs: one is put off, two fail, three die, one completes.
	PERFORM penstock.finish('q', array_agg(c.job_id), array_agg(c.attempt), array_agg(CASE c.name WHEN 'completed' THEN 'completed'
			WHEN 'snoozed' THEN 'snoozed' WHEN 'retrying' THEN 'failed' WHEN 'rerun' THEN 'failed' ELSE 'dead' END),
		delays => array_agg(CASE c.name WHEN 'retrying' THEN interval '1 hour' ELSE '0' END))
	FROM penstock.claim('q', w, 100) c;
	PERFORM penstock.redrive('q', format('dlq_%s_1', d.job_id)) FROM penstock.dead_jobs d WHERE d.name = 'redriven';
	PERFORM penstock.purge_dead('q', '0', '{"name": "purged"}');
	COMMIT;
	-- Second runs: the one put off ends, the one that failed and the new one run on.
	PERFORM penstock.finish('q', ARRAY[c.job_id], ARRAY[c.attempt]) FROM penstock.claim('q', w, 100) c WHERE c.name = 'snoozed';
	PERFORM penstock.enqueue('q', 'running');
	COMMIT;
	PERFORM FROM penstock.claim('q', w, 100);
	PERFORM penstock.enqueue('q', 'waiting', idempotency_key => 'once'), penstock.enqueue('q', 'scheduled', delay => '1 hour'),
		penstock.cancel(penstock.enqueue('q', 'cancelled'));
END $$`)
	require.Equal(t, []string{
		"cancelled cancelled", "completed completed", "dead dead", "purged purged", "redriven redriven", "redriven running", "rerun running",
		"retrying retrying", "running running", "scheduled scheduled", "snoozed completed", "waiting waiting",
	}, list[string](t, f, "SELECT name || ' ' || state FROM penstock.job_states ORDER BY 1"))
	return f
}

// verify runs it and returns the codes that found something, in order, with examples.
func (f *fixture) verify(t testing.TB) (codes []string, examples map[string][]string) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	v, err := f.client.Verify(ctx, nil)
	require.NoError(t, err)
	examples = map[string][]string{}
	for _, c := range v.Findings() {
		require.NotEmpty(t, c.Meaning)
		require.NotEmpty(t, c.Remedy)
		require.LessOrEqual(t, c.Found, c.Checked)
		codes = append(codes, c.Code)
		examples[c.Code] = c.Examples
	}
	slices.Sort(codes)
	return codes, examples
}

func TestVerifyFindsNothingWhereEverythingAddsUp(t *testing.T) { // P1
	t.Parallel()
	f := world(t)
	ctx, cancel := soon()
	defer cancel()
	var told []int64
	v, err := f.client.Verify(ctx, func(done, _ int64) { told = append(told, done) })
	require.NoError(t, err)
	require.Empty(t, v.Findings())
	require.Equal(t, int64(12), v.Jobs)
	require.Equal(t, int64(12), told[len(told)-1])
	require.True(t, slices.IsSorted(told))
	require.WithinDuration(t, ask[time.Time](t, f, "SELECT clock_timestamp()"), v.TakenAt, patience)
	looked := map[string]int64{}
	for _, c := range v.Checks {
		looked[c.Code] = c.Checked
	}
	require.Equal(t, list[string](t, f, "SELECT code FROM penstock.verify_checks ORDER BY code COLLATE \"C\""), slices.Sorted(maps.Keys(looked)))
	require.Equal(t, int64(3), looked["running_without_worker"])
	require.Equal(t, int64(3), looked["dead_without_attempt"], "a dead job and two that left")
	require.Equal(t, int64(6), looked["attempt_number_wrong"], "three wait and three run")
	require.Empty(t, list[string](t, f, "SELECT code FROM penstock.verify() WHERE found > 0"), "the same from SQL")
}

// breaks are what somebody with too many rights does, and exactly what verify says of it.
// The job that NAME is about is written $NAME.
var breaks = []struct {
	name, sql string
	codes     []string
	about     string // the job that is an example of every one of the codes
}{
	{"a waiting row deleted", "DELETE FROM penstock.pending WHERE job_id = $scheduled", []string{"job_nowhere"}, "scheduled"},
	{"a running row deleted", "DELETE FROM penstock.running WHERE job_id = $running", []string{"job_nowhere"}, "running"},
	{"a dead job deleted", "DELETE FROM penstock.dead_jobs WHERE job_id = $dead", []string{"job_nowhere"}, "dead"},
	{"the end of a job deleted", "DELETE FROM penstock.attempts WHERE job_id = $completed", []string{"job_nowhere"}, "completed"},
	{"a departure forgotten", "DELETE FROM penstock.departures WHERE job_id = $purged", []string{"job_nowhere"}, "purged"},
	{
		"a job that waits and runs", `INSERT INTO penstock.running (job_id, run_at, claimed_at, deadline, worker_id, attempt, failures, crashes, priority, queue, name)
		SELECT job_id, run_at, now(), now(), (SELECT max(id) FROM penstock.workers), attempt + 1, failures, crashes, priority, queue, name FROM penstock.pending WHERE job_id = $waiting`,
		[]string{"job_in_two_places"},
		"waiting",
	},
	{
		"a job that waits although it completed", `INSERT INTO penstock.pending (job_id, run_at, attempt, failures, crashes, priority, queue, name)
		SELECT id, now(), 1, 0, 0, 5, queue, name FROM penstock.jobs WHERE id = $completed`, []string{"job_in_two_places"}, "completed",
	},
	{"a dead job that departed too", `INSERT INTO penstock.departures VALUES ($dead, now(), NULL, NULL, 1, 'q', 'purged', 'me')`, []string{"job_in_two_places"}, "dead"},
	{
		"a completed job that ran again", `INSERT INTO penstock.attempts (job_id, run_at, finished_at, attempt, priority, queue, name, outcome)
		VALUES ($completed, now(), now(), 2, 5, 'q', 'completed', 'completed')`, []string{"job_ended_twice"}, "completed",
	},
	{"a waiting job without what was asked", "DELETE FROM penstock.jobs WHERE id = $scheduled", []string{"pending_without_job"}, "scheduled"},
	{
		"a waiting row outside all partitions", `INSERT INTO penstock.pending (job_id, run_at, attempt, failures, crashes, priority, queue, name)
		VALUES (5, now(), 0, 0, 0, 5, 'q', 'n')`, []string{"pending_without_job"}, "",
	},
	{"a waiting job in another queue than asked", "UPDATE penstock.pending SET queue = 'other' WHERE job_id = $scheduled", []string{"job_nowhere", "pending_without_job"}, "scheduled"},
	{"a running job without what was asked", "DELETE FROM penstock.jobs WHERE id = $running", []string{"running_without_job"}, "running"},
	{"a running row outside all partitions", "UPDATE penstock.running SET job_id = 5 WHERE job_id = $running", []string{"job_nowhere", "running_without_job"}, ""},
	{"a dead job without what was asked", "DELETE FROM penstock.jobs WHERE id = $dead", []string{"attempt_without_job", "dead_without_job"}, "dead"},
	{"a departed job without what was asked", "DELETE FROM penstock.jobs WHERE id = $purged", []string{"attempt_without_job", "departure_without_job"}, "purged"},
	{"a finished job without what was asked", "DELETE FROM penstock.jobs WHERE id = $completed", []string{"attempt_without_job"}, "completed"},
	{"a first attempt deleted", "DELETE FROM penstock.attempts WHERE job_id = $snoozed AND attempt = 1", []string{"attempt_missing"}, "snoozed"},
	{"a lease under a number that ended", "UPDATE penstock.running SET attempt = 1 WHERE job_id = $rerun", []string{"running_already_ended"}, "rerun"},
	{"a lease that skips a number", "UPDATE penstock.running SET attempt = 3 WHERE job_id = $rerun", []string{"attempt_number_wrong"}, "rerun"},
	{"a waiting job set back", "UPDATE penstock.pending SET attempt = 0 WHERE job_id = $retrying", []string{"attempt_number_wrong"}, "retrying"},
	{"failures forgiven", "UPDATE penstock.pending SET failures = 0 WHERE job_id = $retrying", []string{"failures_wrong"}, "retrying"},
	{"crashes invented", "UPDATE penstock.running SET crashes = 2 WHERE job_id = $running", []string{"failures_wrong"}, "running"},
	{"a dead job whose attempt did not fail", "UPDATE penstock.attempts SET outcome = 'snoozed' WHERE job_id = $dead", []string{"dead_without_attempt"}, "dead"},
	{"a dead job of another attempt", "UPDATE penstock.dead_jobs SET attempt = 2 WHERE job_id = $dead", []string{"dead_without_attempt"}, "dead"},
	{"another origin", "UPDATE penstock.jobs SET origin_id = $dead WHERE origin_id IS NOT NULL", []string{"redrive_without_departure", "redriven_job_missing"}, ""},
	{"another generation", "UPDATE penstock.jobs SET generation = 7 WHERE origin_id IS NOT NULL", []string{"redrive_without_departure"}, ""},
	{
		"a redrive that vanished", `DELETE FROM penstock.running WHERE job_id = (SELECT id FROM penstock.jobs WHERE origin_id IS NOT NULL);
		DELETE FROM penstock.jobs WHERE origin_id IS NOT NULL`, []string{"redriven_job_missing"}, "redriven",
	},
	{
		"an operation that counts what it did not do", `INSERT INTO penstock.redrives (queue, filter, state, started_by, rate, max_generation, canary, canary_share, total, redriven)
		VALUES ('q', '{}', 'done', 'me', 1, 1, 0, 1, 5, 5)`, []string{"redrive_miscounted"}, "",
	},
	{"a worker deleted", "DELETE FROM penstock.workers", []string{"running_without_worker"}, "running"},
	{"a key of nothing", "UPDATE penstock.idempotency_keys SET job_id = job_id + 1000000", []string{"key_without_job"}, ""},
	{"a partition listed and not there", "INSERT INTO penstock.partitions SELECT max(last_day) + 1, max(last_day) + 1 FROM penstock.partitions", []string{"partition_wrong"}, ""},
	{"a partition there and not listed", "DELETE FROM penstock.partitions WHERE first_day = (SELECT max(first_day) FROM penstock.partitions)", []string{"partition_wrong"}, ""},
	{"a partition's days stretched", "UPDATE penstock.partitions SET last_day = last_day + 1 WHERE first_day = (SELECT min(first_day) FROM penstock.partitions)", []string{"partition_overlap", "partition_wrong"}, ""},
	{"an index that failed to build", `SET allow_system_table_mods = on; UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'penstock.pending_expiry'::regclass`, []string{"index_invalid"}, ""},
	{"the settings gone", "DELETE FROM penstock.settings", []string{"setting_missing"}, ""},
	{"the broadest policy gone", "DELETE FROM penstock.retry_policies WHERE queue = '*'", []string{"setting_missing"}, ""},
	{"the broadest dead letter policy gone", "DELETE FROM penstock.dead_policies WHERE queue = '*'", []string{"setting_missing"}, ""},
	{"a sequence restored from the start", "SELECT setval('penstock.job_sequence', 1)", []string{"sequence_behind"}, ""},
}

func TestVerifyNamesWhatIsBrokenAndNothingElse(t *testing.T) { // P1
	t.Parallel()
	f := world(t)
	ids := map[string]string{}
	for _, pair := range list[string](t, f, "SELECT name || ' ' || min(id) FROM penstock.jobs GROUP BY name") {
		name, id, _ := strings.Cut(pair, " ")
		ids[name] = id
	}
	var pairs []string
	for name, id := range ids {
		pairs = append(pairs, "$"+name, id)
	}
	names := strings.NewReplacer(pairs...)
	seen := map[string]bool{}
	for _, c := range breaks {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := soon()
			defer cancel()
			// Broken and verified in one transaction, which nobody keeps.
			tx, err := f.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback(ctx)) }()
			_, err = tx.Exec(ctx, names.Replace(c.sql), pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err)
			v, err := f.client.InTx(tx).Verify(ctx, nil)
			require.NoError(t, err)
			var codes []string
			for _, found := range v.Findings() {
				codes = append(codes, found.Code)
				seen[found.Code] = true
				require.Positive(t, found.Found)
				require.NotEmpty(t, found.Examples)
				if c.about != "" {
					require.Contains(t, found.Examples, ids[c.about], found.Code)
				}
			}
			slices.Sort(codes)
			require.Equal(t, c.codes, codes)
			if strings.Contains(c.sql, "setval") { // the only thing a rollback leaves
				_, err = tx.Exec(ctx, "SELECT setval('penstock.job_sequence', 1000000)")
				require.NoError(t, err)
			}
		})
	}
	require.Equal(t, list[string](t, f, "SELECT code FROM penstock.verify_checks ORDER BY code COLLATE \"C\""), slices.Sorted(maps.Keys(seen)),
		"every check has a break that it finds")
}

// However the ids are cut into ranges, every job is met once.
func TestVerifyMeetsEveryJobOnceHoweverItCuts(t *testing.T) {
	t.Parallel()
	f := world(t)
	f.exec(t, "DELETE FROM penstock.pending WHERE name = 'scheduled'")
	for _, size := range []int{1, 2, 5, 11, 12, 100} {
		require.Equal(t, "12 1", ask[string](t, f, `WITH RECURSIVE kept AS (
				SELECT min(first_day) * 100000000000 AS low, (max(last_day) + 1) * 100000000000 AS high FROM penstock.partitions
			), cuts(low, high) AS (
				SELECT k.low, penstock.verify_cut(k.low, k.high, $1) FROM kept k
				UNION ALL
				SELECT c.high, penstock.verify_cut(c.high, k.high, $1) FROM cuts c, kept k WHERE c.high < k.high
			)
			SELECT sum(v.checked) || ' ' || sum(v.found) FROM cuts c, penstock.verify_jobs(c.low, c.high) v WHERE v.code = 'job_nowhere'`, size), "%d to a range", size)
	}
}

func TestVerifyTellsEveryBreakThoughExamplesAreFew(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(t, "SELECT penstock.enqueue('q', 'n') FROM generate_series(1, 20); DELETE FROM penstock.pending")
	ctx, cancel := soon()
	defer cancel()
	v, err := f.client.Verify(ctx, nil)
	require.NoError(t, err)
	found := v.Findings()
	require.Len(t, found, 1)
	require.Equal(t, int64(20), found[0].Found)
	require.Equal(t, list[string](t, f, "SELECT id::text FROM penstock.jobs ORDER BY id LIMIT 5"), found[0].Examples)
	require.Equal(t, found[0], v.Checks[0], "what found something comes first")
}

func TestVerifyInATransactionThatIsNoSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := soon()
	defer cancel()
	tx, err := f.Pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(ctx)) }()
	_, err = f.client.InTx(tx).Verify(ctx, nil)
	require.ErrorIs(t, err, penstock.ErrInvalidArgument)
	require.ErrorContains(t, err, "repeatable read")
}

// What changes between one range of ids and the next is not seen.
func TestVerifyReadsOneSnapshotThroughout(t *testing.T) { // P1
	t.Parallel()
	f := world(t)
	f.exec(t, `INSERT INTO penstock.jobs (id, enqueued_at, queue, name, data)
		SELECT max(first_day) * 100000000000 + 1, now(), 'q', 'later', '{}' FROM penstock.partitions`)
	f.exec(t, `INSERT INTO penstock.pending (job_id, run_at, attempt, failures, crashes, priority, queue, name)
		SELECT id, now(), 0, 0, 0, 5, queue, name FROM penstock.jobs WHERE name = 'later'`)
	ctx, cancel := soon()
	defer cancel()
	deleted := false
	v, err := f.client.Verify(ctx, func(done, _ int64) {
		if done == 12 && !deleted { // today's partition is done, the last one is not
			f.exec(t, "DELETE FROM penstock.pending WHERE name = 'later'")
			deleted = true
		}
	})
	require.NoError(t, err)
	require.True(t, deleted)
	require.Empty(t, v.Findings())
	require.Equal(t, int64(13), v.Jobs)
	codes, examples := f.verify(t)
	require.Equal(t, []string{"job_nowhere"}, codes, "the next snapshot has it")
	require.Len(t, examples["job_nowhere"], 1)
}

// A snapshot is consistent while jobs are enqueued, complete, fail, die, are put off,
// cancelled, redriven and purged.
func TestVerifyFindsNothingWhileWorkersRun(t *testing.T) { // P1
	t.Parallel()
	f := newFixture(t)
	f.exec(t, `SELECT penstock.set_policy('q', '*', '{"delay": 1, "maxDelay": 5, "maxAttempts": 2}')`)
	ctx, stop := context.WithCancel(t.Context())
	worker, err := penstock.NewWorker(f.client, penstock.WorkerConfig{Queues: map[string]penstock.QueueConfig{"q": {Concurrency: 8}}})
	require.NoError(t, err)
	var ran atomic.Int64
	penstock.Handle(worker, "q", "n", func(context.Context, *penstock.Job[struct{}]) error {
		switch ran.Add(1) % 5 {
		case 0:
			return fmt.Errorf("it broke")
		case 1:
			return penstock.Dead(fmt.Errorf("it broke for good"))
		case 2:
			return penstock.Snooze(time.Millisecond)
		}
		return nil
	})
	ended := make(chan error, 2)
	go func() { ended <- worker.Run(ctx) }()
	go func() {
		for ctx.Err() == nil {
			if _, err := f.Pool.Exec(context.WithoutCancel(ctx), `SELECT penstock.enqueue('q', 'n', idempotency_key => 'k' || g || clock_timestamp()) FROM generate_series(1, 20) g`); err != nil {
				ended <- err
				return
			}
			if _, err := f.Pool.Exec(context.WithoutCancel(ctx), `SELECT penstock.cancel(penstock.enqueue('q', 'n')),
				(SELECT max(penstock.redrive('q', format('dlq_%s_%s', d.job_id, d.attempt))) FROM (SELECT * FROM penstock.dead_jobs ORDER BY random() LIMIT 5) d),
				penstock.purge_dead('q', '100 milliseconds', '{}', 5)`); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	most := int64(0)
	for range 25 {
		v, err := f.client.Verify(ctx, nil)
		require.NoError(t, err)
		require.Empty(t, v.Findings())
		most = max(most, v.Jobs)
	}
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	codes, _ := f.verify(t)
	require.Empty(t, codes)
	require.Positive(t, most)
	for _, state := range []string{"completed", "dead", "redriven", "purged", "cancelled"} {
		require.Positive(t, ask[int](t, f, "SELECT count(*) FROM penstock.job_states WHERE state = $1", state), state)
	}
}
