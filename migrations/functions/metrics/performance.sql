-- Returns how long attempts of a queue (and a name, unless null) took that ended at or after since
-- and before until: a row for each metric of latency_samples. If the span reaches to now, jobs
-- that are due count in wait with their age, so that a stall shows.
--   source attempts   from the rows, interpolated: spans of up to an hour with at most
--                     20,000 attempts of the queue and 50,000 of all
--   source samples    percentiles are within 1% of the time at their rank,
--                     floor(share x (jobs - 1)); the rest is exact. The span starts and
--                     ends at a minute. Of more than 50,000 due jobs a random share counts.
CREATE OR REPLACE FUNCTION penstock.performance(queue text, name text DEFAULT NULL, since timestamptz DEFAULT now() - interval '1 hour',
    until timestamptz DEFAULT now()) RETURNS SETOF penstock.latencies
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    open_  CONSTANT boolean := performance.until >= now();
    start  timestamptz;
    ending timestamptz;
    due    bigint := 0;
    ages   float8[] := '{}';
    weight float8 := 1;
BEGIN
    IF performance.queue IS NULL THEN
        PERFORM refuse('queue', 'given', NULL);
    ELSIF performance.since IS NULL OR performance.since > least(performance.until, moment) THEN
        PERFORM refuse('since', 'given, before until and not ahead', performance.since::text);
    ELSIF performance.until - performance.since > interval '731 days' THEN
        PERFORM refuse('since', 'at most 731 days before until', performance.since::text);
    END IF;
    IF open_ THEN
        due := coalesce((SELECT s.due FROM states_of(performance.queue) s), 0);
        IF due > 50000 THEN
            weight := greatest((SELECT sum(q.waiting + q.scheduled + q.retrying) FROM queue_states q) / 100000, 1);
            ages := ARRAY(SELECT epoch_us(moment - p.run_at) / 1000 FROM pending p TABLESAMPLE SYSTEM (100 / weight)
                WHERE p.queue = performance.queue AND p.run_at <= moment AND (performance.name IS NULL OR p.name = performance.name));
        ELSIF due > 0 THEN
            ages := ARRAY(SELECT epoch_us(moment - p.run_at) / 1000 FROM pending p
                WHERE p.queue = performance.queue AND p.run_at <= moment AND (performance.name IS NULL OR p.name = performance.name));
        END IF;
    END IF;
    start := sampled_since(performance.since, performance.until - performance.since);
    ending := CASE WHEN open_ THEN moment ELSE date_trunc('minute', performance.until, 'UTC') END;

    IF performance.until - performance.since <= interval '1 hour' AND due <= 20000 AND (
        SELECT coalesce(sum(m.claimed), 0) <= 50000 AND coalesce(sum(m.claimed) FILTER (WHERE m.queue = performance.queue), 0) <= 20000
        FROM metric_samples m WHERE m.step = 'minute' AND m.at >= start AND m.at <= performance.until) THEN
        RETURN QUERY
        WITH ended AS MATERIALIZED (
            SELECT epoch_us(a.claimed_at - a.run_at) / 1000 AS wait, a.outcome = 'completed' AS completed,
                epoch_us(a.finished_at - a.claimed_at) / 1000 AS processing, epoch_us(a.finished_at - a.run_at) / 1000 AS total
            FROM attempts a
            WHERE a.finished_at >= performance.since AND a.finished_at < CASE WHEN open_ THEN 'infinity' ELSE performance.until END
              AND a.queue = performance.queue AND a.claimed_at IS NOT NULL AND (performance.name IS NULL OR a.name = performance.name)
        ), times AS (
            SELECT m.metric, m.ms FROM ended e CROSS JOIN LATERAL (VALUES ('processing', e.processing), ('wait', e.wait), ('total', e.total))
                m(metric, ms) WHERE e.completed OR m.metric = 'wait'
            UNION ALL SELECT 'wait', g.ms FROM unnest(ages) g(ms)
        )
        SELECT k.metric, 'attempts', performance.since, least(performance.until, moment), count(t.ms), avg(t.ms),
            percentile_cont(0.5) WITHIN GROUP (ORDER BY t.ms), percentile_cont(0.95) WITHIN GROUP (ORDER BY t.ms),
            percentile_cont(0.99) WITHIN GROUP (ORDER BY t.ms), min(t.ms), max(t.ms), stddev_pop(t.ms)
        FROM unnest('{processing,wait,total}'::text[]) WITH ORDINALITY k(metric, nth) LEFT JOIN times t ON t.metric = k.metric
        GROUP BY k.metric, k.nth ORDER BY k.nth;
        RETURN;
    END IF;

    RETURN QUERY
    WITH parts AS MATERIALIZED (
        SELECT l.* FROM covering_steps(start, CASE WHEN open_ THEN moment + interval '1 minute' ELSE ending END) c
        CROSS JOIN LATERAL ( -- OFFSET 0: a probe of the key for each piece, which the planner would not choose
            SELECT * FROM latency_samples l WHERE l.queue = performance.queue AND l.step = c.step AND l.at >= c.low AND l.at < c.high
              AND l.name = coalesce(performance.name, '*') OFFSET 0) l
        UNION ALL
        SELECT l.* FROM latencies_of(ARRAY(SELECT t FROM tallies t WHERE t.queue = performance.queue AND t.at >= start
            AND (open_ OR t.at < ending) AND (performance.name IS NULL OR t.name = performance.name)), 'minute') l
        WHERE l.name = coalesce(performance.name, '*')
    ), sums AS (
        SELECT s.metric, sum(s.jobs) AS jobs, sum(s.total_ms) AS total_ms, sum(s.squares) AS squares, min(s.least_ms) AS least_ms,
            max(s.most_ms) AS most_ms
        FROM (SELECT p.metric, p.jobs::float8 AS jobs, p.total_ms, p.squares, p.least_ms, p.most_ms FROM parts p
              UNION ALL SELECT 'wait', count(*) * weight, sum(g.ms) * weight, sum(g.ms * g.ms) * weight, min(g.ms), max(g.ms)
              FROM unnest(ages) g(ms)) s
        GROUP BY s.metric
    ), buckets AS MATERIALIZED (
        SELECT b.metric, b.bucket, sum(sum(b.jobs)) OVER (PARTITION BY b.metric ORDER BY b.bucket) AS up_to
        FROM (SELECT p.metric, u.bucket, u.jobs::float8 AS jobs FROM parts p CROSS JOIN LATERAL unnest(p.buckets, p.counts) u(bucket, jobs)
              UNION ALL SELECT 'wait', duration_bucket(g.ms * 1000), weight FROM unnest(ages) g(ms)) b
        GROUP BY b.metric, b.bucket
    )
    SELECT k.metric, 'samples', start, ending, coalesce(round(s.jobs), 0)::bigint, s.total_ms / nullif(s.jobs, 0), q.shares[1],
        q.shares[2], q.shares[3], s.least_ms, s.most_ms,
        CASE WHEN s.jobs > 0 THEN sqrt(greatest(s.squares / s.jobs - (s.total_ms / s.jobs) ^ 2, 0)) END
    FROM unnest('{processing,wait,total}'::text[]) WITH ORDINALITY k(metric, nth)
    LEFT JOIN sums s ON s.metric = k.metric
    LEFT JOIN LATERAL (
        SELECT array_agg(greatest(least(bucket_ms(b.bucket), s.most_ms), s.least_ms) ORDER BY h.share) AS shares
        FROM unnest('{0.5,0.95,0.99}'::float8[]) h(share)
        CROSS JOIN LATERAL (SELECT min(b.bucket) AS bucket FROM buckets b
            WHERE b.metric = k.metric AND b.up_to >= floor(h.share * greatest(s.jobs - 1, 0)) + least(1, s.jobs)) b) q ON s.jobs > 0
    ORDER BY k.nth;
END $$;
