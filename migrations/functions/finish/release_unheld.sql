-- Releases what a worker has leased in one queue and does not hold: a claim whose reply
-- was lost. claimed_ats are the times of the claims of what it holds: a job that it holds
-- from before a failover may have given its id to another one. Returns how many.
-- REQUIRES: no claim of this worker and queue is under way. Reads running by its key.
CREATE OR REPLACE FUNCTION penstock.release_unheld(queue text, worker_id bigint, held bigint[], claimed_ats timestamptz[] DEFAULT NULL)
RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_hashjoin = on SET jit = off AS $$
    -- <> ALL would compare each of 10,000 running jobs with each of 10,000 that are held.
    -- A null in held means that the worker does not know what it holds: nothing is released.
    SELECT penstock.end_running(ARRAY(SELECT r FROM penstock.running r
        WHERE r.worker_id = release_unheld.worker_id AND r.queue = release_unheld.queue
          AND (SELECT bool_or(h IS NULL) FROM unnest(held) h) IS NOT TRUE
          AND NOT EXISTS (SELECT FROM unnest(held, claimed_ats) h(job_id, claimed_at)
              WHERE h.job_id = r.job_id AND coalesce(h.claimed_at, r.claimed_at) = r.claimed_at) FOR UPDATE OF r SKIP LOCKED), 'released', '', '')
$$;
