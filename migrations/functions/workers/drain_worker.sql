-- Notes that a worker has begun to shut down. What is killed with it from now on, as a
-- platform does that waits no longer, was not ended by its job: bury counts no crash.
-- Returns false when the worker has no row. Locks the worker's row; served by its key.
CREATE OR REPLACE FUNCTION penstock.drain_worker(worker_id bigint, started_at timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE workers w SET draining_at = coalesce(w.draining_at, clock_timestamp())
    WHERE w.id = drain_worker.worker_id AND (drain_worker.started_at IS NULL OR w.started_at = drain_worker.started_at);
    RETURN found;
END $$;
