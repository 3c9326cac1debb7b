-- Completes one attempt inside the caller's transaction, so that its effects and the
-- completion commit together or not at all (P6). A lost lease raises PN409 and an attempt
-- that has completed already raises PN208; both fail the transaction (P5). The second
-- matters when the reply to COMMIT was lost and the whole transaction is run again: its
-- effects were committed with the first completion, and must not be committed twice.
-- claimed_at, from the claim, is compared where it is given: see complete_many.
CREATE OR REPLACE FUNCTION penstock.complete(queue text, job_id bigint, attempt integer, result jsonb DEFAULT NULL,
    claimed_at timestamptz DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET enable_seqscan = off SET jit = off SET lock_timeout = '2s' AS $$
DECLARE
    ending endings;
BEGIN
    -- Waits for a cancel that is being written, up to the lock_timeout of this function.
    PERFORM FROM running r WHERE r.job_id = complete.job_id AND r.queue = complete.queue AND r.attempt = complete.attempt FOR UPDATE;
    SELECT e.* INTO ending FROM finish(complete.queue, ARRAY[complete.job_id], ARRAY[complete.attempt],
        results => CASE WHEN result IS NOT NULL THEN ARRAY[result] END,
        claimed_ats => CASE WHEN complete.claimed_at IS NOT NULL THEN ARRAY[complete.claimed_at] END) e;
    IF ending.status = 'already_done' THEN
        RAISE EXCEPTION 'already completed: attempt % of job % completed before', complete.attempt, complete.job_id
            USING ERRCODE = 'PN208', HINT = 'Roll back: what was committed with that completion need not be done again.';
    ELSIF ending.status IS DISTINCT FROM 'accepted' THEN
        RAISE EXCEPTION 'lease lost: attempt % of job % is not running', complete.attempt, complete.job_id
            USING ERRCODE = 'PN409', HINT = 'Another worker owns the job or it ended; drop this result.';
    END IF;
END $$;
