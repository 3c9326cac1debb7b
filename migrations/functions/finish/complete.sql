-- Completes one attempt in the caller's transaction, so that its effects and the completion
-- commit together or not at all (P6). A lost lease raises PN409, which fails the transaction
-- (P5). A repeat of this completion does nothing (P8).
-- Indexes and locks: those of finish.
CREATE OR REPLACE FUNCTION penstock.complete(queue text, job_id bigint, attempt integer, result jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    ending endings;
BEGIN
    SELECT e.* INTO ending FROM finish(complete.queue, ARRAY[complete.job_id], ARRAY[complete.attempt],
        results => CASE WHEN result IS NOT NULL THEN ARRAY[result] END) e;
    IF ending.status IS DISTINCT FROM 'accepted' AND ending.status IS DISTINCT FROM 'already_done' THEN
        RAISE EXCEPTION 'lease lost: attempt % of job % is not running', complete.attempt, complete.job_id
            USING ERRCODE = 'PN409', HINT = 'Another worker owns the job or it ended; drop this result.';
    END IF;
END $$;
