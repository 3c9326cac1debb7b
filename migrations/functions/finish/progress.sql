-- Records how far a running attempt is (0 to 100) and a note about it. False if the lease is
-- lost. Both are kept with the attempt when it ends.
CREATE OR REPLACE FUNCTION penstock.progress(queue text, job_id bigint, attempt integer, percent integer, note text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF percent IS NULL OR percent NOT BETWEEN 0 AND 100 THEN
        PERFORM refuse('percent', '0 to 100', percent::text);
    END IF;
    UPDATE running r SET progress = percent, progress_note = left(progress.note, 256)
    WHERE r.job_id = progress.job_id AND r.queue = progress.queue AND r.attempt = progress.attempt;
    RETURN found;
END $$;
