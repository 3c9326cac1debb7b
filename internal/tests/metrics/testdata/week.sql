-- A week's history of finished jobs, as the verbs and sampling would have left it:
-- four queues of three names, 1,000,000 jobs a day at bench.jobs = 7000000, runs of
-- 20 ms and waits of 8 ms at the median, both log-normal, 2% of them failures.
-- The samples are summed from the attempts, and rolled up by the function that does it.
DO $$
DECLARE
    jobs  CONSTANT integer := current_setting('bench.jobs')::integer / 7;
    today CONSTANT integer := floor(extract(epoch FROM clock_timestamp()) / 86400);
    first CONSTANT timestamptz := clock_timestamp() - interval '7 days';
BEGIN
    FOR day IN today - 8 .. today - 1 LOOP
        EXECUTE format('CREATE TABLE penstock.%I PARTITION OF penstock.jobs FOR VALUES FROM (%s) TO (%s)',
            penstock.partition_name('jobs', day), day * 100000000000, (day + 1) * 100000000000);
        EXECUTE format('CREATE TABLE penstock.%I PARTITION OF penstock.attempts FOR VALUES FROM (%s) TO (%s)',
            penstock.partition_name('attempts', day), day * 100000000000, (day + 1) * 100000000000);
        INSERT INTO penstock.partitions VALUES (day, day);
    END LOOP;
    FOR nth IN 0 .. 6 LOOP
        WITH made AS MATERIALIZED (
            SELECT i, first + (nth + i::float8 / jobs) * interval '1 day' AS finished_at, 'queue-' || i % 4 AS queue, 'name-' || i % 3 AS name,
                exp(3 + sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) * interval '1 ms' AS ran,
                exp(2 + 1.5 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) * interval '1 ms' AS waited
            FROM generate_series(1, jobs) i
        ), placed AS MATERIALIZED (
            SELECT floor(extract(epoch FROM m.finished_at - interval '1 hour') / 86400)::bigint * 100000000000 + nth * 10000000000::bigint / 7 + m.i AS id, m.*
            FROM made m
        ), kept AS (
            INSERT INTO penstock.jobs (id, queue, name, data, enqueued_at)
            SELECT p.id, p.queue, p.name, '{"n": 1}', p.finished_at - p.ran - p.waited FROM placed p
        )
        INSERT INTO penstock.attempts (job_id, attempt, queue, name, priority, worker_id, run_at, claimed_at, finished_at, outcome,
            error_class, message, fingerprint)
        SELECT p.id, 1, p.queue, p.name, 5, 1, p.finished_at - p.ran - p.waited, p.finished_at - p.ran, p.finished_at,
            f.outcome, f.class, f.message, f.fingerprint
        FROM placed p LEFT JOIN (VALUES (0, 'failed', 'IOError', 'it broke', '0123456789abcdef'), (1, 'completed', NULL, NULL, NULL))
            f(key, outcome, class, message, fingerprint) ON f.key = least(p.i % 50, 1);
    END LOOP;
END $$;

INSERT INTO penstock.latency_samples (at, jobs, total_ms, squares, least_ms, most_ms, queue, step, name, metric, buckets, counts)
SELECT b.at, sum(b.jobs), sum(b.total_ms), sum(b.squares), min(b.least_ms), max(b.most_ms), b.queue, 'minute', b.name, b.metric,
    array_agg(b.bucket ORDER BY b.bucket), array_agg(b.jobs ORDER BY b.bucket)
FROM (
    SELECT date_trunc('minute', a.finished_at, 'UTC') AS at, a.queue, n.name, m.metric, penstock.duration_bucket(m.ms * 1000) AS bucket,
        count(*) AS jobs, sum(m.ms) AS total_ms, sum(m.ms * m.ms) AS squares, min(m.ms) AS least_ms, max(m.ms) AS most_ms
    FROM penstock.attempts a CROSS JOIN LATERAL (VALUES ('wait', penstock.epoch_us(a.claimed_at - a.run_at) / 1000),
        ('processing', penstock.epoch_us(a.finished_at - a.claimed_at) / 1000), ('total', penstock.epoch_us(a.finished_at - a.run_at) / 1000))
        m(metric, ms) CROSS JOIN LATERAL (VALUES (a.name), ('*')) n(name)
    WHERE a.outcome = 'completed' OR m.metric = 'wait'
    GROUP BY 1, 2, 3, 4, 5) b
GROUP BY b.at, b.queue, b.name, b.metric;

INSERT INTO penstock.metric_samples
SELECT l.at, sum(l.jobs) FILTER (WHERE l.metric = 'wait'), coalesce(sum(l.jobs) FILTER (WHERE l.metric = 'processing'), 0),
    sum(l.jobs) FILTER (WHERE l.metric = 'wait') - coalesce(sum(l.jobs) FILTER (WHERE l.metric = 'processing'), 0), 0, 0, 0, 0, 0, 0,
    sum(l.jobs) FILTER (WHERE l.metric = 'wait'), coalesce(sum(l.total_ms) FILTER (WHERE l.metric = 'processing'), 0),
    sum(l.total_ms) FILTER (WHERE l.metric = 'wait'), 6, 3, 0, 1, 4, 0, 20, 9, 50, l.queue, 'minute'
FROM penstock.latency_samples l WHERE l.step = 'minute' AND l.name = '*' GROUP BY l.queue, l.at;

UPDATE penstock.sampling SET rolled_to = date_trunc('hour', clock_timestamp() - interval '7 days', 'UTC');

SELECT penstock.roll_up_metrics();

VACUUM ANALYZE;
