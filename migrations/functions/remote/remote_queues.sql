-- Returns the queues that a remote worker registered for, and records a heartbeat.
CREATE OR REPLACE FUNCTION penstock.remote_queues(worker_id bigint, owner text) RETURNS text[]
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT (penstock.remote_beat(remote_queues.worker_id, remote_queues.owner)).queues
$$;
