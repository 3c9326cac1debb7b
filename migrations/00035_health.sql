-- Health: what is wrong with each queue and with the database, told by rows, with the
-- figure, what it is held against and what to do; and the reports kept of it.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- What a queue is held against; null is looked up in the row for every queue (*),
-- which has no nulls.
CREATE TABLE penstock.health_thresholds (
    queue                 text PRIMARY KEY,
    span                  interval CHECK (span BETWEEN '1 minute' AND '1 day'),
    least_attempts        integer  CHECK (least_attempts BETWEEN 1 AND 1000000),
    wait_objective        interval CHECK (wait_objective BETWEEN '10 milliseconds' AND '366 days'),
    wait_share            float8   CHECK (wait_share BETWEEN 0 AND 1),
    success_rate_warning  float8   CHECK (success_rate_warning BETWEEN 0 AND 1),
    success_rate_critical float8   CHECK (success_rate_critical BETWEEN 0 AND 1),
    load_warning          float8   CHECK (load_warning BETWEEN 0.01 AND 1000000),
    load_critical         float8   CHECK (load_critical BETWEEN 0.01 AND 1000000),
    dead_warning          integer  CHECK (dead_warning >= 1),
    dead_critical         integer  CHECK (dead_critical >= 1),
    running_warning       interval CHECK (running_warning BETWEEN '1 second' AND '366 days'),
    running_critical      interval CHECK (running_critical BETWEEN '1 second' AND '366 days'),
    crash_warning         float8   CHECK (crash_warning BETWEEN 0 AND 1),
    crash_critical        float8   CHECK (crash_critical BETWEEN 0 AND 1),
    slowdown_warning      float8   CHECK (slowdown_warning BETWEEN 1 AND 1000000),
    slowdown_critical     float8   CHECK (slowdown_critical BETWEEN 1 AND 1000000),
    spike_warning         integer  CHECK (spike_warning >= 1),
    spike_critical        integer  CHECK (spike_critical >= 1),
    CHECK (queue <> '*' OR num_nulls(span, least_attempts, wait_objective, wait_share, success_rate_warning,
        success_rate_critical, load_warning, load_critical, dead_warning, dead_critical, running_warning, running_critical,
        crash_warning, crash_critical, slowdown_warning, slowdown_critical, spike_warning, spike_critical) = 0)
);
COMMENT ON TABLE penstock.health_thresholds IS
    'Rates are of the attempts within span, when these are least_attempts or more. wait_share of the jobs start within wait_objective. dead: jobs that died within an hour. load: arrivals beside what the live slots can do. slowdown: the P95 beside that of the week. spike: jobs dead of one error within span.';
INSERT INTO penstock.health_thresholds VALUES ('*', '15 minutes', 20, '10 seconds', 0.99, 0.95, 0.8, 1, 1.5, 10, 100,
    '30 minutes', '2 hours', 0.01, 0.05, 2, 5, 10, 100);
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.health_thresholds
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_setting();

-- One finding; the shape of what the functions below return.
CREATE TABLE penstock.health_issues (
    queue          text   NOT NULL,
    code           text   NOT NULL,
    severity       text   NOT NULL,
    message        text   NOT NULL,
    figure         float8 NOT NULL,
    threshold      float8 NOT NULL,
    unit           text   NOT NULL,
    recommendation text   NOT NULL,
    detail         text
);
COMMENT ON TABLE penstock.health_issues IS 'Holds no rows: a type. An empty queue is the database. detail may quote a query.';

CREATE TABLE penstock.health_reports (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL,
    queue  text        NOT NULL,
    status text        NOT NULL CHECK (status IN ('healthy', 'warning', 'critical')),
    issues jsonb       NOT NULL
);
COMMENT ON COLUMN penstock.health_reports.queue IS 'Empty: the database.';
CREATE INDEX health_reports_newest ON penstock.health_reports (queue, id DESC);
CREATE INDEX health_reports_time ON penstock.health_reports (at);

INSERT INTO penstock.scheduled_tasks (name, description, schedule, settings, limits) VALUES
    ('health-reports', 'Keeps a report of the health of every queue and of the database.', '*/5 * * * *',
     '{"retention": 2592000000}', '{"retention": {"least": 3600000, "most": 316224000000, "unit": "ms"}}');

-- +goose StatementBegin
-- What a queue is held against, every field filled.
CREATE FUNCTION penstock.effective_thresholds(queue text) RETURNS SETOF penstock.health_thresholds
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    SELECT effective_thresholds.queue, coalesce(q.span, e.span), coalesce(q.least_attempts, e.least_attempts),
        coalesce(q.wait_objective, e.wait_objective), coalesce(q.wait_share, e.wait_share),
        coalesce(q.success_rate_warning, e.success_rate_warning), coalesce(q.success_rate_critical, e.success_rate_critical),
        coalesce(q.load_warning, e.load_warning), coalesce(q.load_critical, e.load_critical),
        coalesce(q.dead_warning, e.dead_warning), coalesce(q.dead_critical, e.dead_critical),
        coalesce(q.running_warning, e.running_warning), coalesce(q.running_critical, e.running_critical),
        coalesce(q.crash_warning, e.crash_warning), coalesce(q.crash_critical, e.crash_critical),
        coalesce(q.slowdown_warning, e.slowdown_warning), coalesce(q.slowdown_critical, e.slowdown_critical),
        coalesce(q.spike_warning, e.spike_warning), coalesce(q.spike_critical, e.spike_critical)
    FROM health_thresholds e LEFT JOIN health_thresholds q ON q.queue = effective_thresholds.queue WHERE e.queue = '*'
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The 95th percentile, in milliseconds, of what a queue's attempts took since then
-- by the samples of a step, and how many those are.
CREATE FUNCTION penstock.sampled_p95(queue text, step text, since timestamptz, until timestamptz, OUT p95 float8, OUT jobs bigint)
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    WITH b AS (
        SELECT u.bucket, sum(u.n) AS n FROM latency_samples l CROSS JOIN LATERAL unnest(l.buckets, l.counts) u(bucket, n)
        WHERE l.queue = sampled_p95.queue AND l.step = sampled_p95.step AND l.metric = 'processing' AND l.at >= since AND l.at < until
        GROUP BY u.bucket
    ), c AS (SELECT b.bucket, sum(b.n) OVER (ORDER BY b.bucket) AS upto, sum(b.n) OVER () AS total FROM b)
    SELECT min(bucket_ms(c.bucket)) FILTER (WHERE c.upto >= 0.95 * c.total), coalesce(max(c.total), 0)::bigint FROM c
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- What is wrong with one queue, or with every one: what it has done as sampled, and
-- what waits, runs and is dead as it is now. A queue that nobody uses has nothing
-- wrong; rates need least_attempts to say anything.
CREATE FUNCTION penstock.queue_health(queue text DEFAULT NULL) RETURNS SETOF penstock.health_issues
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH seen AS MATERIALIZED (
        SELECT s.queue AS q, s.due, s.slots, greatest(extract(epoch FROM s.at - s.oldest_due), 0)::float8 * 1000 AS age,
            coalesce(p.paused, false) AS paused,
            EXISTS (SELECT FROM workers w WHERE s.queue = ANY (w.queues) AND w.beat_at > clock_timestamp() - interval '1 minute') AS served,
            t.*, extract(epoch FROM t.span)::float8 AS seconds, extract(epoch FROM t.wait_objective)::float8 * 1000 AS objective,
            m.*, m.completed + m.failed + m.lost AS attempts
        FROM live_states s LEFT JOIN queues p ON p.queue = s.queue
        CROSS JOIN LATERAL effective_thresholds(s.queue) t
        CROSS JOIN LATERAL (SELECT coalesce(sum(x.enqueued), 0)::float8 AS enqueued, coalesce(sum(x.completed), 0)::float8 AS completed,
                coalesce(sum(x.failed), 0)::float8 AS failed, coalesce(sum(x.lost), 0)::float8 AS lost,
                coalesce(sum(x.processing_ms), 0) AS processing_ms
            FROM metric_samples x WHERE x.queue = s.queue AND x.step = 'minute' AND x.at >= clock_timestamp() - t.span) m
        WHERE queue_health.queue IS NULL OR s.queue = queue_health.queue
    )
    SELECT s.q, 'success_rate', CASE WHEN f.figure < s.success_rate_critical THEN 'critical' ELSE 'warning' END,
        format('%s%% of %s attempts completed', round((100 * f.figure)::numeric, 1), s.attempts), f.figure,
        CASE WHEN f.figure < s.success_rate_critical THEN s.success_rate_critical ELSE s.success_rate_warning END, 'share',
        format('See what fails: penstock dlq groups %s; penstock job list --queue %1$s --state retrying', s.q), NULL
    FROM seen s CROSS JOIN LATERAL (SELECT s.completed / nullif(s.attempts, 0) AS figure) f
    WHERE s.attempts >= s.least_attempts AND f.figure < greatest(s.success_rate_warning, s.success_rate_critical)
    UNION ALL
    SELECT s.q, CASE WHEN s.paused THEN 'paused' ELSE 'waiting_long' END,
        CASE WHEN s.age > 10 * s.objective AND NOT s.paused THEN 'critical' ELSE 'warning' END,
        format(CASE WHEN s.paused THEN 'the queue is paused, and its oldest due job has waited for %s s (%s due)'
            ELSE 'the oldest due job has waited for %s s (%s due)' END, round((s.age / 1000)::numeric, 1), s.due),
        s.age, CASE WHEN s.age > 10 * s.objective AND NOT s.paused THEN 10 * s.objective ELSE s.objective END, 'ms',
        format(CASE WHEN s.paused THEN 'Let it go on when its reason is gone: penstock queue resume %s'
            ELSE 'Add workers or slots for this queue, or see what holds a job: penstock job list --queue %s --state waiting' END, s.q), NULL
    FROM seen s WHERE s.due > 0 AND s.age > s.objective
    UNION ALL
    SELECT s.q, 'late_starts', 'warning', format('%s%% of %s jobs started within %s s', round((100 * f.figure)::numeric, 1), f.jobs,
            s.objective / 1000), f.figure, s.wait_share, 'share',
        format('Add workers or slots for this queue, or set an objective it can keep: penstock health set %s --wait-objective', s.q), NULL
    FROM seen s CROSS JOIN LATERAL (
        SELECT sum(u.n) AS jobs, sum(u.n) FILTER (WHERE bucket_ms(u.bucket) <= s.objective)::float8 / nullif(sum(u.n), 0) AS figure
        FROM latency_samples l CROSS JOIN LATERAL unnest(l.buckets, l.counts) u(bucket, n)
        WHERE l.queue = s.q AND l.step = 'minute' AND l.metric = 'wait' AND l.at >= clock_timestamp() - s.span) f
    WHERE f.jobs >= s.least_attempts AND coalesce(f.figure, 0) < s.wait_share AND NOT s.paused
    UNION ALL
    SELECT s.q, 'overload', CASE WHEN f.figure >= s.load_critical THEN 'critical' ELSE 'warning' END,
        format('jobs arrive %s times as fast as %s slots can work them', round(f.figure::numeric, 2), s.slots), f.figure,
        CASE WHEN f.figure >= s.load_critical THEN s.load_critical ELSE s.load_warning END, 'ratio',
        'Add workers or raise --concurrency, or make the jobs shorter.', NULL
    FROM seen s CROSS JOIN LATERAL (SELECT (s.enqueued / s.seconds)
            / nullif(s.slots / nullif(s.processing_ms / nullif(s.completed, 0) / 1000, 0), 0) AS figure) f
    WHERE s.completed >= s.least_attempts AND s.slots > 0 AND f.figure >= least(s.load_warning, s.load_critical)
    UNION ALL
    SELECT s.q, 'no_worker', 'critical', format('%s due and no live worker works this queue', s.due || CASE s.due WHEN 1 THEN ' job is' ELSE ' jobs are' END), 0, 1, 'workers',
        format('Start one: penstock work --queue %s -- COMMAND, or a process of yours that handles it', s.q), NULL
    FROM seen s WHERE s.due > 0 AND s.age > s.objective AND NOT s.served AND NOT s.paused
    UNION ALL
    SELECT s.q, 'dead_growth', CASE WHEN f.figure >= s.dead_critical THEN 'critical' ELSE 'warning' END,
        format('%s jobs died within an hour', f.figure), f.figure,
        CASE WHEN f.figure >= s.dead_critical THEN s.dead_critical ELSE s.dead_warning END, 'jobs/hour',
        format('See what they died of, mend it, then send them back: penstock dlq groups %s; penstock dlq redrive %1$s --canary 10', s.q), NULL
    FROM seen s CROSS JOIN LATERAL (SELECT count(*)::float8 AS figure FROM dead_jobs d
        WHERE d.queue = s.q AND d.failed_at > clock_timestamp() - interval '1 hour') f
    WHERE f.figure >= least(s.dead_warning, s.dead_critical)
    UNION ALL
    SELECT s.q, 'running_long', CASE WHEN f.age > s.running_critical THEN 'critical' ELSE 'warning' END,
        format('job %s has been running for %s s', f.job_id, round(extract(epoch FROM f.age))), extract(epoch FROM f.age)::float8 * 1000,
        extract(epoch FROM CASE WHEN f.age > s.running_critical THEN s.running_critical ELSE s.running_warning END)::float8 * 1000, 'ms',
        format('Look at it, and cancel it if it hangs: penstock job get %s; penstock job cancel %1$s', f.job_id), NULL
    FROM seen s CROSS JOIN LATERAL (SELECT r.job_id, clock_timestamp() - r.claimed_at AS age FROM running r WHERE r.queue = s.q
        ORDER BY r.claimed_at LIMIT 1) f
    WHERE f.age > least(s.running_warning, s.running_critical)
    UNION ALL
    SELECT s.q, 'crash_rate', CASE WHEN f.figure >= s.crash_critical THEN 'critical' ELSE 'warning' END,
        format('%s of %s attempts were lost with their worker', s.lost, s.attempts), f.figure,
        CASE WHEN f.figure >= s.crash_critical THEN s.crash_critical ELSE s.crash_warning END, 'share',
        'See the logs of the workers that ended (memory?): penstock job list --class WorkerLost', NULL
    FROM seen s CROSS JOIN LATERAL (SELECT s.lost / nullif(s.attempts, 0) AS figure) f
    WHERE s.attempts >= s.least_attempts AND s.lost > 0 AND f.figure >= least(s.crash_warning, s.crash_critical)
    UNION ALL
    SELECT s.q, 'slowdown', CASE WHEN now_.p95 >= s.slowdown_critical * week.p95 THEN 'critical' ELSE 'warning' END,
        format('the P95 is %s ms, where the week''s is %s ms', round(now_.p95::numeric, 1), round(week.p95::numeric, 1)), now_.p95 / week.p95,
        CASE WHEN now_.p95 >= s.slowdown_critical * week.p95 THEN s.slowdown_critical ELSE s.slowdown_warning END, 'ratio',
        'See what the handlers wait for: a service they call, locks, a busy machine.', NULL
    FROM seen s CROSS JOIN LATERAL sampled_p95(s.q, 'minute', clock_timestamp() - s.span, 'infinity') now_
    CROSS JOIN LATERAL sampled_p95(s.q, 'hour', clock_timestamp() - interval '7 days', date_trunc('hour', clock_timestamp() - s.span, 'UTC')) week
    WHERE now_.jobs >= s.least_attempts AND week.jobs >= 10 * s.least_attempts AND week.p95 > 0
      AND now_.p95 >= least(s.slowdown_warning, s.slowdown_critical) * week.p95
    UNION ALL
    SELECT s.q, 'error_spike', CASE WHEN f.n >= s.spike_critical THEN 'critical' ELSE 'warning' END,
        format('%s jobs died of one error, %s (%s), against %s in the day before', f.n, f.error_class, f.fingerprint, f.before), f.n,
        CASE WHEN f.n >= s.spike_critical THEN s.spike_critical ELSE s.spike_warning END, 'jobs',
        format('Look at one: penstock dlq list %s --fingerprint %s --limit 1', s.q, f.fingerprint), NULL
    FROM seen s CROSS JOIN LATERAL (
        SELECT d.fingerprint, max(d.error_class) AS error_class, count(*) FILTER (WHERE d.failed_at > clock_timestamp() - s.span)::float8 AS n,
            count(*) FILTER (WHERE d.failed_at <= clock_timestamp() - s.span) AS before
        FROM dead_jobs d WHERE d.queue = s.q AND d.failed_at > clock_timestamp() - s.span - interval '1 day' GROUP BY d.fingerprint
        ORDER BY 3 DESC LIMIT 5) f
    WHERE f.n >= least(s.spike_warning, s.spike_critical) AND f.n > 3 * f.before * s.seconds / 86400
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- What is wrong with the database and with the scheduled tasks. Whose transactions
-- are old is seen only if the schema's owner may read all of pg_stat_activity
-- (pg_read_all_stats).
CREATE FUNCTION penstock.database_health() RETURNS SETOF penstock.health_issues
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH held AS (
        SELECT h.* FROM (
            SELECT 'process ' || a.pid || coalesce(' (' || a.usename || ')', '') AS who, clock_timestamp() - a.xact_start AS age, a.query,
                format('End what it does, or end it: SELECT pg_terminate_backend(%s)', a.pid) AS remedy
            FROM pg_stat_activity a WHERE a.backend_xmin IS NOT NULL AND a.xact_start IS NOT NULL AND a.datname = current_database()
              AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
            UNION ALL
            SELECT 'the prepared transaction ' || p.gid, clock_timestamp() - p.prepared, NULL,
                format('Commit it or roll it back: ROLLBACK PREPARED %L', p.gid) FROM pg_prepared_xacts p WHERE p.database = current_database()
        ) h ORDER BY h.age DESC LIMIT 1
    )
    SELECT '', 'xmin_horizon', CASE WHEN h.age > interval '1 hour' THEN 'critical' ELSE 'warning' END,
        format('%s has kept a snapshot for %s s: vacuum removes nothing that died since', h.who, round(extract(epoch FROM h.age))),
        extract(epoch FROM h.age)::float8 * 1000, CASE WHEN h.age > interval '1 hour' THEN 3600000 ELSE 300000 END, 'ms', h.remedy, left(h.query, 1000)
    FROM held h WHERE h.age > interval '5 minutes'
    UNION ALL
    SELECT '', 'dead_tuples', CASE WHEN f.figure > 0.95 AND t.dead > 1000000 THEN 'critical' ELSE 'warning' END,
        format('%s%% of %s in table %s are dead rows', round((100 * f.figure)::numeric), t.dead + t.live, t.name), f.figure,
        CASE WHEN f.figure > 0.95 AND t.dead > 1000000 THEN 0.95 ELSE 0.8 END, 'share',
        format('See what keeps vacuum from it (xmin_horizon), then: VACUUM penstock.%I', t.name), NULL
    FROM (SELECT c.relname AS name, pg_stat_get_live_tuples(c.oid)::float8 AS live, pg_stat_get_dead_tuples(c.oid)::float8 AS dead
        FROM pg_class c WHERE c.oid IN ('penstock.pending'::regclass, 'penstock.running'::regclass)) t
    CROSS JOIN LATERAL (SELECT t.dead / nullif(t.dead + t.live, 0) AS figure) f WHERE t.dead > 100000 AND f.figure > 0.8
    UNION ALL
    SELECT '', 'notify_queue', CASE WHEN u.figure > 0.5 THEN 'critical' ELSE 'warning' END,
        format('the queue of notifications is %s%% full', round((100 * u.figure)::numeric)), u.figure,
        CASE WHEN u.figure > 0.5 THEN 0.5 ELSE 0.1 END, 'share',
        'End the session that listens and does not read: the oldest transaction that is idle in pg_stat_activity.', NULL
    FROM (SELECT pg_notification_queue_usage() AS figure) u WHERE u.figure > 0.1
    UNION ALL
    SELECT '', 'partitions_ahead', CASE WHEN p.figure < 1 THEN 'critical' ELSE 'warning' END,
        format('partitions exist for %s days ahead', p.figure), p.figure, CASE WHEN p.figure < 1 THEN 1 ELSE 3 END, 'days',
        'Have them made: penstock task run partitions', NULL
    FROM (SELECT coalesce(max(x.last_day) - floor(extract(epoch FROM clock_timestamp()) / 86400), -1)::float8 AS figure FROM partitions x) p
    WHERE p.figure < 3
    UNION ALL
    SELECT '', 'transaction_age', CASE WHEN x.figure > 1600000000 THEN 'critical' ELSE 'warning' END,
        format('the oldest transaction id is %s transactions old', x.figure), x.figure,
        CASE WHEN x.figure > 1600000000 THEN 1600000000 ELSE 1000000000 END, 'transactions',
        'Find out why autovacuum does not freeze (xmin_horizon?), then: VACUUM (FREEZE)', NULL
    FROM (SELECT age(d.datfrozenxid)::float8 AS figure FROM pg_database d WHERE d.datname = current_database()) x WHERE x.figure > 1000000000
    UNION ALL
    SELECT '', 'task_failing', CASE WHEN t.consecutive_failures >= 3 THEN 'critical' ELSE 'warning' END,
        format('the task %s failed %s times in a row', t.name, t.consecutive_failures), t.consecutive_failures,
        CASE WHEN t.consecutive_failures >= 3 THEN 3 ELSE 1 END, 'runs', format('See why: penstock task show %s', t.name), left(t.error, 1000)
    FROM scheduled_tasks t WHERE t.consecutive_failures > 0 AND NOT t.paused
    UNION ALL
    SELECT '', 'tasks_overdue', 'warning', format('%s tasks are overdue, %s first, by %s s', o.n, o.name, round(o.late::numeric)), o.late * 1000, 300000, 'ms',
        'Run a server or a worker, which keep the tasks: penstock serve', NULL
    FROM (SELECT count(*) AS n, min(t.name) AS name, max(extract(epoch FROM clock_timestamp() - t.next_run_at))::float8 AS late FROM scheduled_tasks t
        WHERE NOT t.paused AND t.lease_until IS NULL AND t.consecutive_failures = 0 AND t.next_run_at < clock_timestamp() - interval '5 minutes') o
    WHERE o.n > 0
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The worst severity among issues.
CREATE FUNCTION penstock.health_status(severities text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN 'critical' = ANY (severities) THEN 'critical' WHEN 'warning' = ANY (severities) THEN 'warning' ELSE 'healthy' END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Keeps a report of every queue there is and of the database, and forgets those
-- older than this; returns how many it keeps anew. Details are not kept.
CREATE FUNCTION penstock.report_health(retention interval DEFAULT '30 days') RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    made integer;
BEGIN
    DELETE FROM health_reports r WHERE r.at < clock_timestamp() - report_health.retention;
    INSERT INTO health_reports (at, queue, status, issues)
    SELECT clock_timestamp(), n.queue, health_status(array_agg(i.severity)),
        coalesce(jsonb_agg(jsonb_build_object('code', i.code, 'severity', i.severity, 'message', i.message, 'figure', i.figure,
            'threshold', i.threshold, 'unit', i.unit, 'recommendation', i.recommendation) ORDER BY i.severity, i.code)
            FILTER (WHERE i.code IS NOT NULL), '[]')
    FROM (SELECT s.queue FROM live_states s UNION ALL SELECT '') n
    LEFT JOIN (SELECT * FROM queue_health() UNION ALL SELECT * FROM database_health()) i ON i.queue = n.queue
    GROUP BY n.queue;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Sets what a queue (or every queue, *) is held against: thresholds has columns of
-- health_thresholds, durations in milliseconds; null takes a queue's own away.
CREATE FUNCTION penstock.set_health_thresholds(queue text, thresholds jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    one   record;
    value text;
BEGIN
    IF set_health_thresholds.queue IS DISTINCT FROM '*' THEN
        PERFORM check_name('queue', set_health_thresholds.queue);
    END IF;
    IF coalesce(jsonb_typeof(thresholds), '') <> 'object' THEN
        PERFORM refuse('thresholds', 'a JSON object', thresholds::text);
    END IF;
    INSERT INTO health_thresholds (queue) SELECT set_health_thresholds.queue WHERE set_health_thresholds.queue <> '*' ON CONFLICT DO NOTHING;
    FOR one IN
        SELECT t.key, t.value, a.atttypid = 'interval'::regtype AS spans, a.attname, pg_get_constraintdef(c.oid) AS allowed
        FROM jsonb_each(thresholds) t
        LEFT JOIN pg_attribute a ON a.attrelid = 'penstock.health_thresholds'::regclass AND a.attname = t.key AND a.attnum > 1
        LEFT JOIN pg_constraint c ON c.conrelid = a.attrelid AND c.contype = 'c' AND c.conkey = ARRAY[a.attnum]
    LOOP
        IF one.attname IS NULL THEN
            PERFORM refuse('thresholds', 'of those that health_thresholds has', one.key);
        ELSIF jsonb_typeof(one.value) NOT IN ('number', 'null') THEN
            PERFORM refuse(one.key, 'a number', one.value::text);
        ELSIF one.value = 'null' AND set_health_thresholds.queue = '*' THEN
            PERFORM refuse(one.key, 'set: nothing broader is there to take its place', 'null');
        END IF;
        BEGIN
            EXECUTE format('UPDATE health_thresholds SET %I = %s WHERE queue = $2', one.attname,
                CASE WHEN one.spans THEN 'make_interval(secs => ($1 #>> ''{}'')::float8 / 1000)'
                    ELSE format('($1 #>> ''{}'')::%s', (SELECT format_type(a.atttypid, NULL) FROM pg_attribute a
                        WHERE a.attrelid = 'penstock.health_thresholds'::regclass AND a.attname = one.attname)) END)
            USING one.value, set_health_thresholds.queue;
        EXCEPTION WHEN check_violation OR data_exception THEN
            PERFORM refuse(one.key, coalesce((regexp_match(one.allowed, '>= \(?''?([^'')]+)'))[1]
                || coalesce(' to ' || (regexp_match(one.allowed, '<= \(?''?([^'')]+)'))[1], ' or more'), 'another'), one.value::text);
        END;
    END LOOP;
    DELETE FROM health_thresholds t WHERE t.queue = set_health_thresholds.queue AND jsonb_strip_nulls(to_jsonb(t)) - 'queue' = '{}';
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DELETE FROM penstock.scheduled_tasks WHERE name = 'health-reports';
DROP FUNCTION penstock.set_health_thresholds(text, jsonb), penstock.report_health(interval), penstock.health_status(text[]),
    penstock.database_health(), penstock.queue_health(text), penstock.sampled_p95(text, text, timestamptz, timestamptz),
    penstock.effective_thresholds(text);
DROP TABLE penstock.health_reports, penstock.health_issues, penstock.health_thresholds;
