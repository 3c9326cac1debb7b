-- Merges the minutes of a span of time into one row for each queue, name and metric.
CREATE OR REPLACE FUNCTION penstock.merged_latencies(since timestamptz, until timestamptz) RETURNS SETOF penstock.latency_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH minutes AS (
        SELECT * FROM latency_samples l WHERE l.step = 'minute' AND l.at >= since AND l.at < until
    ), sums AS (
        SELECT m.queue, m.name, m.metric, sum(m.jobs)::bigint AS jobs, sum(m.total_ms) AS total_ms, sum(m.squares) AS squares,
            min(m.least_ms) AS least_ms, max(m.most_ms) AS most_ms
        FROM minutes m GROUP BY m.queue, m.name, m.metric
    ), counts AS (
        SELECT m.queue, m.name, m.metric, b.bucket, sum(b.jobs)::bigint AS jobs
        FROM minutes m CROSS JOIN LATERAL unnest(m.buckets, m.counts) b(bucket, jobs) GROUP BY m.queue, m.name, m.metric, b.bucket
    )
    SELECT since, s.jobs, s.total_ms, s.squares, s.least_ms, s.most_ms, s.queue, 'minute', s.name, s.metric,
        (SELECT array_agg(c.bucket ORDER BY c.bucket) FROM counts c WHERE (c.queue, c.name, c.metric) = (s.queue, s.name, s.metric)),
        (SELECT array_agg(c.jobs ORDER BY c.bucket) FROM counts c WHERE (c.queue, c.name, c.metric) = (s.queue, s.name, s.metric))
    FROM sums s
$$;
