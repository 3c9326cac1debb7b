-- Adds rows to latency_samples. Where a row is there already, sums and counts by bucket
-- are added up. It writes in the order of the key, so two callers cannot deadlock.
-- Locks: the rows of latency_samples that it changes, found by the primary key.
CREATE OR REPLACE FUNCTION penstock.add_latency_samples(fresh penstock.latency_samples[]) RETURNS void
LANGUAGE sql SET search_path = penstock, pg_temp SET jit = off AS $$
    INSERT INTO latency_samples AS l SELECT f.* FROM unnest(fresh) f ORDER BY f.queue, f.step, f.at, f.name, f.metric
    ON CONFLICT (queue, step, at, name, metric) DO UPDATE SET
        jobs = l.jobs + excluded.jobs, total_ms = l.total_ms + excluded.total_ms, squares = l.squares + excluded.squares,
        least_ms = least(l.least_ms, excluded.least_ms), most_ms = greatest(l.most_ms, excluded.most_ms),
        (buckets, counts) = (
            SELECT array_agg(b.bucket ORDER BY b.bucket), array_agg(b.jobs ORDER BY b.bucket)
            FROM (SELECT u.bucket, sum(u.jobs)::bigint AS jobs
                  FROM (SELECT * FROM unnest(l.buckets, l.counts) UNION ALL SELECT * FROM unnest(excluded.buckets, excluded.counts))
                      u(bucket, jobs) GROUP BY u.bucket) b)
$$;
