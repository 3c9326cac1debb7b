-- Starts to redrive the dead jobs of a queue that satisfy a filter and returns the id of the
-- operation. It is refused while another redrive of the queue runs or is paused.
CREATE OR REPLACE FUNCTION penstock.start_redrive(queue text, filter jsonb DEFAULT '{}', rate integer DEFAULT 1000,
    canary integer DEFAULT 0, canary_share float8 DEFAULT 0.5, max_generation integer DEFAULT 10) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    fresh bigint;
    other bigint;
BEGIN
    PERFORM check_name('queue', start_redrive.queue);
    IF start_redrive.rate IS NULL OR start_redrive.rate NOT BETWEEN 1 AND 100000 THEN
        PERFORM refuse('rate', '1 to 100000 jobs per second', start_redrive.rate::text);
    ELSIF start_redrive.canary IS NULL OR start_redrive.canary NOT BETWEEN 0 AND 1000 THEN
        PERFORM refuse('canary', '0 to 1000 jobs', start_redrive.canary::text);
    ELSIF start_redrive.canary_share IS NULL OR NOT start_redrive.canary_share BETWEEN 0.000001 AND 1 THEN
        PERFORM refuse('canary_share', 'above 0 and at most 1', start_redrive.canary_share::text);
    ELSIF start_redrive.max_generation IS NULL OR start_redrive.max_generation NOT BETWEEN 1 AND 100 THEN
        PERFORM refuse('max_generation', '1 to 100', start_redrive.max_generation::text);
    END IF;
    SELECT r.id INTO other FROM redrives r WHERE r.queue = start_redrive.queue AND r.state IN ('running', 'paused');
    IF found THEN
        RAISE EXCEPTION 'redrive % of queue % is under way', other, start_redrive.queue
            USING ERRCODE = 'PN412', HINT = 'Wait for it, or cancel it.';
    END IF;
    INSERT INTO redrives (queue, filter, state, started_by, rate, canary, canary_share, max_generation, total)
    SELECT start_redrive.queue, check_filter(start_redrive.filter, '{reason,class,fingerprint,name,tag}',
            '{failedFrom,failedTo}', '{canRetry}'), 'running',
        actor(), start_redrive.rate,
        start_redrive.canary, start_redrive.canary_share, start_redrive.max_generation, c.jobs
    FROM count_dead(start_redrive.queue, start_redrive.filter) c
    RETURNING id INTO fresh;
    PERFORM audit('redrives.start', start_redrive.queue, NULL, (SELECT to_jsonb(r) FROM redrives r WHERE r.id = fresh));
    RETURN fresh;
EXCEPTION WHEN unique_violation THEN -- of redrives_one_a_queue: another started at the same time, or since the caller's snapshot
    RAISE EXCEPTION 'another redrive of queue % is under way', start_redrive.queue
        USING ERRCODE = 'PN412', HINT = 'Wait for it, or cancel it.';
END $$;
