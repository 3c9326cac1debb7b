-- Locks the first due jobs of one lane behind a key (after_time, after_id) and returns where
-- their rows are. Jobs that another claim has locked are skipped. Names in shut, whose
-- breaker is open, are left out unless the job is a probe.
-- Index: the primary key of pending. Locks: the rows, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.lane_head(queue text, lane smallint, moment timestamptz, after_time timestamptz, after_id bigint,
    shut text[], probes bigint[], room integer) RETURNS tid[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT p.ctid FROM penstock.pending p
        WHERE p.queue = lane_head.queue AND p.priority = lane AND p.run_at <= moment
          AND (p.run_at, p.job_id) > (after_time, after_id)
          AND (shut IS NULL OR p.name <> ALL (shut) OR p.job_id = ANY (probes))
        ORDER BY p.run_at, p.job_id LIMIT room FOR UPDATE SKIP LOCKED);
END $$;
