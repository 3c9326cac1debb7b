-- Returns the schedule of a job that keeps failing: a row per retried failure, with the least,
-- usual and most wait before the next run (they differ by the jitter), and the sum of the usual
-- waits.
CREATE OR REPLACE FUNCTION penstock.preview_policy(queue text, name text DEFAULT '*', retry jsonb DEFAULT NULL)
RETURNS SETOF penstock.retry_previews
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT f::integer, retry_delay(p.strategy, p.delay, p.multiplier, p.max_delay, p.jitter, f, 0),
        retry_delay(p.strategy, p.delay, p.multiplier, p.max_delay, 0, f, 0.5),
        retry_delay(p.strategy, p.delay, p.multiplier, p.max_delay, p.jitter, f, 1),
        sum(retry_delay(p.strategy, p.delay, p.multiplier, p.max_delay, 0, f, 0.5)) OVER (ORDER BY f)
    FROM effective_policy(preview_policy.queue, preview_policy.name, check_retry(preview_policy.retry)) p,
        generate_series(1, p.max_attempts - 1) f;
END $$;
