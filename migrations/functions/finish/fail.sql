-- Fails one attempt. The retry policy decides by the class (several, separated by spaces,
-- outermost first) if the job is retried or dies, and when it runs again. A delay given here
-- (0 to 366 days) overrides the policy's. retry => false moves the job to the dead letter
-- queue at once. The result's state is retrying, dead or cancelled; run_at is the next run.
CREATE OR REPLACE FUNCTION penstock.fail(queue text, job_id bigint, attempt integer, class text DEFAULT 'Error', message text DEFAULT '',
    detail text DEFAULT '', delay interval DEFAULT NULL, retry boolean DEFAULT true) RETURNS penstock.endings
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT penstock.end_attempt(fail.queue, fail.job_id, fail.attempt, CASE WHEN retry IS FALSE THEN 'dead' ELSE 'failed' END,
        class, message, detail, delay)
$$;
