-- Sets how the dead jobs of a queue (* is every queue) are redriven and purged automatically.
-- Null leaves a setting as it is.
CREATE OR REPLACE FUNCTION penstock.set_dead_policy(queue text, delay interval DEFAULT NULL, multiplier float8 DEFAULT NULL,
    max_generations integer DEFAULT NULL, retention interval DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF set_dead_policy.queue IS DISTINCT FROM '*' THEN
        PERFORM check_name('queue', set_dead_policy.queue);
    END IF;
    IF set_dead_policy.delay NOT BETWEEN '1 second' AND '366 days' THEN
        PERFORM refuse('delay', '1 second to 366 days', set_dead_policy.delay::text);
    ELSIF NOT set_dead_policy.multiplier BETWEEN 1 AND 1000 THEN
        PERFORM refuse('multiplier', '1 to 1000', set_dead_policy.multiplier::text);
    ELSIF set_dead_policy.max_generations NOT BETWEEN 0 AND 100 THEN
        PERFORM refuse('max_generations', '0 to 100', set_dead_policy.max_generations::text);
    ELSIF set_dead_policy.retention NOT BETWEEN '1 hour' AND '36600 days' THEN
        PERFORM refuse('retention', '1 hour to 36600 days', set_dead_policy.retention::text);
    END IF;
    -- The row for every queue exists, and an INSERT with nulls would be refused.
    INSERT INTO dead_policies (queue) SELECT set_dead_policy.queue WHERE set_dead_policy.queue <> '*' ON CONFLICT DO NOTHING;
    UPDATE dead_policies p SET delay = coalesce(set_dead_policy.delay, p.delay),
        multiplier = coalesce(set_dead_policy.multiplier, p.multiplier),
        max_generations = coalesce(set_dead_policy.max_generations, p.max_generations),
        retention = coalesce(set_dead_policy.retention, p.retention)
    WHERE p.queue = set_dead_policy.queue;
END $$;
