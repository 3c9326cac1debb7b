-- Redrives dead jobs whose automatic redrive is due, of one queue or of all (null), up to
-- max_jobs, and returns the new ids. Many sessions may call it at once: each job goes once.
CREATE OR REPLACE FUNCTION penstock.process_scheduled_retries(queue text DEFAULT NULL, max_jobs integer DEFAULT 1000) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    ids             bigint[];
    attempt_numbers integer[];
BEGIN
    IF max_jobs IS NULL OR max_jobs NOT BETWEEN 1 AND 10000 THEN
        PERFORM refuse('max_jobs', '1 to 10000', max_jobs::text);
    END IF;
    SELECT array_agg(d.job_id), array_agg(d.attempt) INTO ids, attempt_numbers FROM (
        SELECT d.job_id, d.attempt FROM dead_jobs d
        WHERE d.next_retry_at <= clock_timestamp()
          AND (process_scheduled_retries.queue IS NULL OR d.queue = process_scheduled_retries.queue)
        ORDER BY d.next_retry_at LIMIT max_jobs FOR UPDATE SKIP LOCKED) d;
    IF ids IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN redrive_entries(ids, attempt_numbers);
END $$;
