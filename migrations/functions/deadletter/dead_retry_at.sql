-- Returns when a job of this generation that dies now is redriven automatically; null is never.
CREATE OR REPLACE FUNCTION penstock.dead_retry_at(queue text, generation smallint, moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN dead_retry_at.generation < coalesce(q.max_generations, every.max_generations)
        THEN moment + penstock.retry_delay('exponential', coalesce(q.delay, every.delay),
            coalesce(q.multiplier, every.multiplier), '366 days', 0, dead_retry_at.generation + 1, 0.5) END
    FROM penstock.dead_policies every LEFT JOIN penstock.dead_policies q ON q.queue = dead_retry_at.queue
    WHERE every.queue = '*'
$$;
