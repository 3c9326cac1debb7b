-- Removes a remote worker that stops; see deregister_worker.
CREATE OR REPLACE FUNCTION penstock.deregister_remote_worker(worker_id bigint, owner text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM remote_beat(deregister_remote_worker.worker_id, deregister_remote_worker.owner);
    DELETE FROM remote_claims c WHERE c.worker_id = deregister_remote_worker.worker_id;
    RETURN deregister_worker(deregister_remote_worker.worker_id);
END $$;
