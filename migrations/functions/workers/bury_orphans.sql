-- Ends as lost what is leased to workers that have no row: a claim can commit
-- just after its worker was buried, and a burial passes over what is locked.
CREATE OR REPLACE FUNCTION penstock.bury_orphans() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT penstock.settle_all(ARRAY(SELECT r FROM penstock.running r
        WHERE NOT EXISTS (SELECT FROM penstock.workers w WHERE w.id = r.worker_id)
        FOR UPDATE OF r SKIP LOCKED), 'lost', 'WorkerLost', 'the worker was buried during this attempt')
$$;
