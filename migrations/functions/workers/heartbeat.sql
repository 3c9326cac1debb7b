-- Records a heartbeat and returns the ids of the worker's jobs whose cancel was requested. Null
-- if the worker has no row: it was buried, must drop its work, and register again.
-- Indexes: the primary key of workers, running_cancel. Locks: the worker's row.
CREATE OR REPLACE FUNCTION penstock.heartbeat(worker_id bigint) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE workers SET beat = beat + 1, beat_at = clock_timestamp() WHERE id = heartbeat.worker_id;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT r.job_id FROM running r WHERE r.worker_id = heartbeat.worker_id AND r.cancel_requested);
END $$;
