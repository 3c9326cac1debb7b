-- Records a heartbeat of a remote worker and locks its row for the transaction, so that its calls
-- run one after the other. PN410 if it was buried, has left, or belongs to another owner.
CREATE OR REPLACE FUNCTION penstock.remote_beat(worker_id bigint, owner text) RETURNS penstock.workers
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    known workers;
BEGIN
    UPDATE workers w SET beat = beat + 1, beat_at = clock_timestamp()
    WHERE w.id = remote_beat.worker_id AND w.owner = remote_beat.owner RETURNING w.* INTO known;
    IF NOT found THEN
        RAISE EXCEPTION 'worker % is not registered', coalesce(remote_beat.worker_id::text, 'null')
            USING ERRCODE = 'PN410', HINT = 'It was buried or has left: drop what it holds and register again.';
    END IF;
    RETURN known;
END $$;
