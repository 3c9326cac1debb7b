-- Returns how long the attempts of tallies took, for each name and for all names together (*). Most
-- questions are about a whole queue, which has many names.
CREATE OR REPLACE FUNCTION penstock.latencies_of(given penstock.tallies[], step text) RETURNS SETOF penstock.latency_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH times AS (
        SELECT date_trunc(step, t.at, 'UTC') AS at, t.queue, t.name, m.metric, duration_bucket(m.ms * 1000) AS bucket,
            sum(d.jobs)::bigint AS jobs, sum(m.ms * d.jobs) AS total_ms, sum(m.ms * m.ms * d.jobs) AS squares,
            min(m.ms) AS least_ms, max(m.ms) AS most_ms
        FROM unnest(given) t CROSS JOIN LATERAL unnest(t.run_ats, t.jobs_each) d(run_at, jobs)
        CROSS JOIN LATERAL (VALUES ('wait', epoch_us(t.claimed_at - d.run_at) / 1000),
            ('processing', epoch_us(t.at - t.claimed_at) / 1000), ('total', epoch_us(t.at - d.run_at) / 1000)) m(metric, ms)
        WHERE t.outcome = 'completed' OR m.metric = 'wait'
        GROUP BY 1, t.queue, t.name, m.metric, 5
    ), buckets AS (
        SELECT * FROM times UNION ALL
        SELECT t.at, t.queue, '*', t.metric, t.bucket, sum(t.jobs)::bigint, sum(t.total_ms), sum(t.squares), min(t.least_ms), max(t.most_ms)
        FROM times t GROUP BY t.at, t.queue, t.metric, t.bucket
    )
    SELECT b.at, sum(b.jobs)::bigint, sum(b.total_ms), sum(b.squares), min(b.least_ms), max(b.most_ms), b.queue, step, b.name, b.metric,
        array_agg(b.bucket ORDER BY b.bucket), array_agg(b.jobs ORDER BY b.bucket)
    FROM buckets b GROUP BY b.at, b.queue, b.name, b.metric
$$;
