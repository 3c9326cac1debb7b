-- Registers a worker that works through a server. Only the same owner (the id of an API token, or
-- '' if there are none) may act for it.
CREATE OR REPLACE FUNCTION penstock.register_remote_worker(owner text, queues text[], host text DEFAULT '', pid integer DEFAULT 0,
    version text DEFAULT '', concurrency integer DEFAULT 1, handlers text[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    new_id bigint := register_worker(queues, host, pid, version, concurrency, handlers);
BEGIN
    UPDATE workers w SET owner = coalesce(register_remote_worker.owner, '') WHERE w.id = new_id;
    RETURN new_id;
END $$;
