-- Removes a worker that stops. The jobs that it still holds become due again at once, and no
-- failure is counted. It returns how many.
CREATE OR REPLACE FUNCTION penstock.deregister_worker(worker_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    released integer;
BEGIN
    released := end_running(ARRAY(SELECT r FROM running r WHERE r.worker_id = deregister_worker.worker_id
        FOR UPDATE SKIP LOCKED), 'released', '', '');
    DELETE FROM workers WHERE id = deregister_worker.worker_id;
    RETURN released;
END $$;
