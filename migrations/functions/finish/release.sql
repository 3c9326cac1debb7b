-- Returns one job unfinished, as a worker does that shuts down. The job is due at once for any
-- worker, and no failure is counted.
CREATE OR REPLACE FUNCTION penstock.release(queue text, job_id bigint, attempt integer) RETURNS penstock.endings
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT penstock.end_attempt(release.queue, release.job_id, release.attempt, 'released')
$$;
