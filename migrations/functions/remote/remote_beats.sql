-- Records heartbeats of workers whose connection to a server is open while they wait for jobs, and
-- returns those that are still registered. A row that another call has locked is beating already.
CREATE OR REPLACE FUNCTION penstock.remote_beats(worker_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE workers w SET beat = beat + 1, beat_at = clock_timestamp()
    WHERE w.id IN (SELECT v.id FROM workers v WHERE v.id = ANY (worker_ids) AND v.owner IS NOT NULL
        ORDER BY v.id FOR UPDATE SKIP LOCKED);
    RETURN ARRAY(SELECT w.id FROM workers w WHERE w.id = ANY (worker_ids) ORDER BY w.id);
END $$;
