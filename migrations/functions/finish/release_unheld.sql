-- Releases the jobs of one queue that are leased to a worker and that it does not hold: the
-- reply of their claim was lost. REQUIRES: no claim of this worker and queue is under way.
-- It reads all of running, which is small. Locks: the released rows, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.release_unheld(queue text, worker_id bigint, held bigint[]) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_hashjoin = on SET jit = off AS $$
    -- <> ALL would compare each of 10,000 running jobs with each of 10,000 that are held.
    -- A null among them means that the worker does not know what it holds: release nothing.
    SELECT penstock.end_running(ARRAY(SELECT r FROM penstock.running r
        WHERE r.worker_id = release_unheld.worker_id AND r.queue = release_unheld.queue
          AND (SELECT bool_or(h IS NULL) FROM unnest(held) h) IS NOT TRUE
          AND NOT EXISTS (SELECT FROM unnest(held) h WHERE h = r.job_id) FOR UPDATE OF r SKIP LOCKED), 'released', '', '')
$$;
