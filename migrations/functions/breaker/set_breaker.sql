-- Turns the breaker of a queue and name (* is each name of the queue) on with these settings, or
-- off, which also closes it.
CREATE OR REPLACE FUNCTION penstock.set_breaker(queue text, name text DEFAULT '*', enabled boolean DEFAULT true,
    failure_share float8 DEFAULT 0.5, least_attempts integer DEFAULT 20, span interval DEFAULT '30 seconds',
    cool_down interval DEFAULT '30 seconds') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('queue', set_breaker.queue);
    IF set_breaker.name IS DISTINCT FROM '*' THEN
        PERFORM check_name('name', set_breaker.name);
    END IF;
    IF set_breaker.enabled IS NULL THEN
        PERFORM refuse('enabled', 'true or false', NULL);
    ELSIF NOT set_breaker.enabled THEN
        DELETE FROM breakers b WHERE b.queue = set_breaker.queue AND b.name = set_breaker.name;
        DELETE FROM breaker_states s WHERE s.queue = set_breaker.queue AND NOT EXISTS
            (SELECT FROM breakers b WHERE b.queue = s.queue AND b.name IN (s.name, '*'));
        RETURN;
    END IF;
    IF set_breaker.failure_share IS NULL OR set_breaker.failure_share <= 0 OR set_breaker.failure_share > 1
        OR set_breaker.failure_share = 'NaN' THEN
        PERFORM refuse('failure_share', 'above 0 and at most 1', set_breaker.failure_share::text);
    ELSIF set_breaker.least_attempts IS NULL OR set_breaker.least_attempts NOT BETWEEN 1 AND 100000 THEN
        PERFORM refuse('least_attempts', '1 to 100000', set_breaker.least_attempts::text);
    ELSIF set_breaker.span IS NULL OR set_breaker.span NOT BETWEEN '1 second' AND '1 hour' THEN
        PERFORM refuse('span', '1 second to 1 hour', set_breaker.span::text);
    ELSIF set_breaker.cool_down IS NULL OR set_breaker.cool_down NOT BETWEEN '1 second' AND '1 day' THEN
        PERFORM refuse('cool_down', '1 second to 1 day', set_breaker.cool_down::text);
    END IF;
    INSERT INTO breakers VALUES (set_breaker.queue, set_breaker.name, set_breaker.failure_share,
        set_breaker.least_attempts, set_breaker.span, set_breaker.cool_down)
    ON CONFLICT (queue, name) DO UPDATE SET failure_share = excluded.failure_share,
        least_attempts = excluded.least_attempts, span = excluded.span, cool_down = excluded.cool_down;
END $$;
