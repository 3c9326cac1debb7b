-- Puts one job off for delay (0 to 366 days). The attempt ends, no failure is counted, and
-- the job runs again after the delay, however often it was put off.
CREATE OR REPLACE FUNCTION penstock.snooze(queue text, job_id bigint, attempt integer, delay interval) RETURNS penstock.endings
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
BEGIN
    IF snooze.delay IS NULL THEN
        PERFORM refuse('delay', '0 to 366 days', NULL);
    END IF;
    RETURN end_attempt(snooze.queue, snooze.job_id, snooze.attempt, 'snoozed', delay => snooze.delay);
END $$;
