-- Gives one job back unfinished, as a worker does that shuts down: it is due at
-- once, for anybody, and costs nothing.
CREATE OR REPLACE FUNCTION penstock.release(queue text, job_id bigint, attempt integer) RETURNS penstock.endings
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT penstock.end_attempt(release.queue, release.job_id, release.attempt, 'released')
$$;
