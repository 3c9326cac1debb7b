-- Ends as lost the attempts of workers that have no row. A claim can commit just after its
-- worker was buried, and a burial skips locked rows.
-- Locks: the rows of running, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.bury_orphans() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT penstock.end_running(ARRAY(SELECT r FROM penstock.running r
        WHERE NOT EXISTS (SELECT FROM penstock.workers w WHERE w.id = r.worker_id)
        FOR UPDATE OF r SKIP LOCKED), 'lost', 'WorkerLost', 'the worker was buried during this attempt')
$$;
