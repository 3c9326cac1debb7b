-- Releases what a worker has leased in one queue and does not hold: a claim whose
-- reply was lost. REQUIRES: no claim of this worker and queue is under way.
CREATE OR REPLACE FUNCTION penstock.release_unheld(queue text, worker_id bigint, held bigint[]) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_hashjoin = on SET jit = off AS $$
    -- <> ALL would hold each of 10,000 running jobs against each of 10,000 that are held.
    -- Who holds a null does not know what it holds: nothing is released then.
    SELECT penstock.settle_all(ARRAY(SELECT r FROM penstock.running r
        WHERE r.worker_id = release_unheld.worker_id AND r.queue = release_unheld.queue
          AND (SELECT bool_or(h IS NULL) FROM unnest(held) h) IS NOT TRUE
          AND NOT EXISTS (SELECT FROM unnest(held) h WHERE h = r.job_id) FOR UPDATE OF r SKIP LOCKED), 'released', '', '')
$$;
