-- Returns the 95th percentile, in milliseconds, of what the attempts of a queue took, from the
-- samples of a step, and how many attempts those are.
CREATE OR REPLACE FUNCTION penstock.sampled_p95(queue text, step text, since timestamptz, until timestamptz, OUT p95 float8, OUT jobs bigint)
LANGUAGE sql STABLE SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH b AS (
        SELECT u.bucket, sum(u.n) AS n FROM latency_samples l CROSS JOIN LATERAL unnest(l.buckets, l.counts) u(bucket, n)
        WHERE l.queue = sampled_p95.queue AND l.step = sampled_p95.step AND l.metric = 'processing' AND l.at >= since AND l.at < until
        GROUP BY u.bucket
    ), c AS (SELECT b.bucket, sum(b.n) OVER (ORDER BY b.bucket) AS upto, sum(b.n) OVER () AS total FROM b)
    SELECT min(bucket_ms(c.bucket)) FILTER (WHERE c.upto >= 0.95 * c.total), coalesce(max(c.total), 0)::bigint FROM c
$$;
