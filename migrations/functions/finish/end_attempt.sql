-- Ends one attempt by finish. A lost lease raises PN409, which fails the caller's transaction
-- (P5). A repeat changes nothing and returns already_done (P8).
CREATE OR REPLACE FUNCTION penstock.end_attempt(queue text, job_id bigint, attempt integer, outcome text, class text DEFAULT '',
    message text DEFAULT '', detail text DEFAULT '', delay interval DEFAULT NULL) RETURNS penstock.endings
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    ending endings;
BEGIN
    IF end_attempt.delay NOT BETWEEN '0' AND '366 days' THEN
        PERFORM refuse('delay', '0 to 366 days', end_attempt.delay::text);
    END IF;
    SELECT e.* INTO ending FROM finish(end_attempt.queue, ARRAY[end_attempt.job_id], ARRAY[end_attempt.attempt], ARRAY[end_attempt.outcome],
        ARRAY[coalesce(class, '')], ARRAY[coalesce(message, '')], ARRAY[coalesce(detail, '')],
        delays => ARRAY[coalesce(end_attempt.delay, '-1 second')]) e;
    IF ending.status IS DISTINCT FROM 'accepted' AND ending.status IS DISTINCT FROM 'already_done' THEN
        RAISE EXCEPTION 'lease lost: attempt % of job % is not running', end_attempt.attempt, end_attempt.job_id
            USING ERRCODE = 'PN409', HINT = 'Another worker owns the job or it ended; drop this result.';
    END IF;
    RETURN ending;
END $$;
