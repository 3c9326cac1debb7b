-- The ends of one attempt as calls of their own, beside complete: for workers in
-- psql, PL/pgSQL and languages without arrays. All of them are finish.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- Ends one attempt by finish. A lost lease raises PN409, which fails the caller's
-- transaction (P5); a repeat changes nothing and says already_done (P8).
CREATE FUNCTION penstock.end_attempt(queue text, job_id bigint, attempt integer, outcome text, class text DEFAULT '',
    message text DEFAULT '', detail text DEFAULT '', delay interval DEFAULT NULL) RETURNS penstock.endings
LANGUAGE plpgsql SET search_path = penstock, pg_temp AS $$
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
-- +goose StatementEnd

-- +goose StatementBegin
-- Fails one attempt. The retry policy decides by class (several, parted by spaces,
-- outermost first) whether the job is retried or dies, and when it runs again; a
-- delay given here (0 to 366 days) overrides the policy's, and retry => false lays
-- the job in the dead letter queue at once. Returns what became of it: state is
-- retrying, dead or cancelled, run_at when it runs next.
CREATE FUNCTION penstock.fail(queue text, job_id bigint, attempt integer, class text DEFAULT 'Error', message text DEFAULT '',
    detail text DEFAULT '', delay interval DEFAULT NULL, retry boolean DEFAULT true) RETURNS penstock.endings
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT penstock.end_attempt(fail.queue, fail.job_id, fail.attempt, CASE WHEN retry IS FALSE THEN 'dead' ELSE 'failed' END,
        class, message, detail, delay)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Puts one job off for delay (0 to 366 days): the attempt ends, no failure is
-- counted, and the job runs again then, however often it was put off.
CREATE FUNCTION penstock.snooze(queue text, job_id bigint, attempt integer, delay interval) RETURNS penstock.endings
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
BEGIN
    IF snooze.delay IS NULL THEN
        PERFORM refuse('delay', '0 to 366 days', NULL);
    END IF;
    RETURN end_attempt(snooze.queue, snooze.job_id, snooze.attempt, 'snoozed', delay => snooze.delay);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Gives one job back unfinished, as a worker does that shuts down: it is due at
-- once, for anybody, and costs nothing.
CREATE FUNCTION penstock.release(queue text, job_id bigint, attempt integer) RETURNS penstock.endings
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT penstock.end_attempt(release.queue, release.job_id, release.attempt, 'released')
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.release(text, bigint, integer), penstock.snooze(text, bigint, integer, interval),
    penstock.fail(text, bigint, integer, text, text, text, interval, boolean),
    penstock.end_attempt(text, bigint, integer, text, text, text, text, interval);
