-- Counts a beat and returns the ids of the worker's jobs whose cancel was requested; null
-- when the worker has no row, because it was buried: it must drop its work and register
-- again. started_at, where given, must be the row's: after a failover the id may have gone
-- to another worker. stuck is how many handlers of it did not return after their context
-- ended. Locks the worker's row; served by its key and by running_cancel.
CREATE OR REPLACE FUNCTION penstock.heartbeat(worker_id bigint, started_at timestamptz DEFAULT NULL, stuck integer DEFAULT 0)
RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE workers w SET beat = beat + 1, beat_at = clock_timestamp(), stuck = greatest(coalesce(heartbeat.stuck, 0), 0)
    WHERE w.id = heartbeat.worker_id AND (heartbeat.started_at IS NULL OR w.started_at = heartbeat.started_at);
    IF NOT found THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT r.job_id FROM running r WHERE r.worker_id = heartbeat.worker_id AND r.cancel_requested);
END $$;
