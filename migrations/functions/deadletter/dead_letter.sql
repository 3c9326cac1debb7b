-- Moves a waiting job to the dead letter queue by hand (reason manual), with a message. True if
-- it was waiting. It can be redriven, but not automatically.
CREATE OR REPLACE FUNCTION penstock.dead_letter(job_id bigint, message text DEFAULT '') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    word   CONSTANT text := left(coalesce(dead_letter.message, ''), 2000);
    gone   pending;
BEGIN
    DELETE FROM pending p
    WHERE p.job_id = dead_letter.job_id AND p.queue = (SELECT j.queue FROM jobs j WHERE j.id = dead_letter.job_id)
    RETURNING p.* INTO gone;
    IF NOT found THEN
        RETURN false;
    END IF;
    INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome, error_class, message, fingerprint)
    VALUES (gone.job_id, gone.attempt + 1, gone.queue, gone.name, gone.priority, gone.run_at, moment, 'failed', 'Manual',
        word, fingerprint('Manual', word));
    INSERT INTO tallies (at, queue, name, outcome, dead, jobs) VALUES (moment, gone.queue, gone.name, 'failed', true, 1);
    INSERT INTO dead_jobs (job_id, enqueued_at, failed_at, timeout, origin_id, attempt, failures, generation, crashes, priority,
        asked_priority, max_attempts, asked_max_attempts, can_retry, queue, name, reason, error_class, message, fingerprint,
        first_error, tags, retry, retry_strategy, trace_context, data)
    SELECT j.id, j.enqueued_at, moment, j.timeout, j.origin_id, gone.attempt + 1, gone.failures, j.generation, gone.crashes,
        gone.priority, j.asked_priority, p.max_attempts, j.max_attempts, true, j.queue, j.name, 'manual', 'Manual', word,
        fingerprint('Manual', word),
        coalesce((SELECT a.error_class || ': ' || coalesce(a.message, '') FROM attempts a WHERE a.job_id = j.id
            AND a.queue = j.queue AND a.error_class IS NOT NULL ORDER BY a.attempt LIMIT 1), 'Manual: ' || word),
        j.tags, j.retry, jsonb_build_object('type', p.strategy, 'delay', extract(epoch FROM p.delay) * 1000,
            'maxAttempts', p.max_attempts, 'backoffMultiplier', p.multiplier,
            'maxDelay', extract(epoch FROM p.max_delay) * 1000, 'jitter', p.jitter), j.trace_context, j.data
    FROM jobs j CROSS JOIN LATERAL effective_policy(j.queue, j.name, j.retry, j.max_attempts) p
    WHERE j.id = gone.job_id AND j.queue = gone.queue;
    PERFORM audit('jobs.dead_letter', gone.queue, NULL, jsonb_build_object('jobId', gone.job_id::text));
    RETURN true;
END $$;
