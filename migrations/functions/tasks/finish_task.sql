-- Records how a run ended: completed, failed, or released (its runner stops, and the run is repeated
-- at once). next_run_at is the first tick after the claim by the schedule and time zone given; if
-- these changed during the run, the new plan stays. A failed run is repeated before that: after 10
-- seconds, doubled with every failure in a row, at most an hour. False if the run is not the
-- caller's any more.
CREATE OR REPLACE FUNCTION penstock.finish_task(task text, attempt bigint, outcome text, result jsonb, error text,
    schedule text, time_zone text, next_run_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    t      scheduled_tasks;
BEGIN
    IF finish_task.outcome IS NULL OR finish_task.outcome NOT IN ('completed', 'failed', 'released') THEN
        PERFORM refuse('outcome', 'completed, failed or released', finish_task.outcome);
    END IF;
    SELECT c.* INTO t FROM scheduled_tasks c WHERE c.name = finish_task.task FOR UPDATE;
    IF t.attempt IS DISTINCT FROM finish_task.attempt OR t.lease_until IS NULL THEN
        RETURN false;
    END IF;
    PERFORM record_run(t, finish_task.outcome, finish_task.result, finish_task.error, moment);
    IF finish_task.outcome = 'released' THEN
        RETURN true;
    END IF;
    UPDATE scheduled_tasks c SET
        asked_at = CASE WHEN c.asked_at > c.started_at THEN c.asked_at END,
        next_run_at = CASE
            WHEN c.next_run_at > c.started_at OR c.next_run_at IS NULL -- requested between two ticks, or planned again
              OR c.schedule IS DISTINCT FROM finish_task.schedule OR c.time_zone IS DISTINCT FROM finish_task.time_zone THEN c.next_run_at
            WHEN finish_task.outcome = 'failed' THEN least(finish_task.next_run_at, moment + task_backoff(c.consecutive_failures))
            ELSE finish_task.next_run_at END
    WHERE c.name = t.name;
    RETURN true;
END $$;
