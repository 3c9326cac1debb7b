-- Changes when a waiting job may start (null: now); true if it was waiting.
CREATE OR REPLACE FUNCTION penstock.reschedule(job_id bigint, run_at timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    its_queue text;
BEGIN
    IF reschedule.run_at > clock_timestamp() + interval '100 years' THEN
        PERFORM refuse('run_at', 'at most 100 years ahead', reschedule.run_at::text);
    END IF;
    -- Never behind the clock: claims rely on it (watermark).
    UPDATE pending p SET run_at = greatest(coalesce(reschedule.run_at, clock_timestamp()), clock_timestamp())
    WHERE p.job_id = reschedule.job_id AND p.queue = (SELECT j.queue FROM jobs j WHERE j.id = reschedule.job_id)
    RETURNING p.queue INTO its_queue;
    IF its_queue IS NOT NULL THEN
        PERFORM notify_queue(its_queue);
    END IF;
    RETURN its_queue IS NOT NULL;
END $$;
