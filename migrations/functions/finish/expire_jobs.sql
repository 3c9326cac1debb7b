-- Ends waiting jobs whose expires_at has passed, up to max_jobs, and returns how many.
-- Indexes: pending_expiry, and the key (job_id, queue) of pending. Locks: the rows of pending,
-- FOR UPDATE SKIP LOCKED.
-- enable_seqscan, enable_hashjoin and enable_mergejoin are off because max_jobs is unknown to
-- the plan: it would expect a tenth of all waiting jobs.
CREATE OR REPLACE FUNCTION penstock.expire_jobs(max_jobs integer DEFAULT 1000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    WITH due AS MATERIALIZED (
        SELECT p.job_id, p.queue FROM penstock.pending p WHERE p.expires_at <= clock_timestamp()
        ORDER BY p.expires_at LIMIT max_jobs FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM penstock.pending p USING due d WHERE p.job_id = ANY (ARRAY[d.job_id]) AND p.queue = d.queue RETURNING p.*
    ), noted AS (
        INSERT INTO penstock.attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
        SELECT g.job_id, g.attempt + 1, g.queue, g.name, g.priority, g.run_at, clock_timestamp(), 'expired' FROM gone g
        RETURNING 1
    ), tallied AS (
        INSERT INTO penstock.tallies (at, queue, name, outcome, jobs)
        SELECT clock_timestamp(), g.queue, g.name, 'expired', count(*) FROM gone g GROUP BY g.queue, g.name
    )
    SELECT count(*)::integer FROM noted
$$;
