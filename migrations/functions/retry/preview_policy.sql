-- The schedule a job would see that keeps failing: a row per failure that is
-- retried, with the least, the usual and the most wait before the next run
-- (jitter makes the difference) and the usual wait summed up.
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
