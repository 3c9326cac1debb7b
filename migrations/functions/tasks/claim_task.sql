-- Claims one task that the runner knows, that is due or was requested, and that does not run. It
-- returns the task's row, or none. started_at is the time of the claim, from which the runner
-- computes the next tick: all missed ticks are one run. If a lease has run out, the run was lost
-- with its runner. It is repeated after growing waits, so that a task that kills its process does
-- not kill them all.
-- Locks: the task's row, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.claim_task(known text[], runner text, lease interval DEFAULT '30 seconds')
RETURNS SETOF penstock.scheduled_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    t      scheduled_tasks;
BEGIN
    IF claim_task.lease IS NULL OR claim_task.lease NOT BETWEEN '1 second' AND '1 hour' THEN
        PERFORM refuse('lease', '1 second to 1 hour', claim_task.lease::text);
    END IF;
    SELECT c.* INTO t FROM scheduled_tasks c
    WHERE c.name = ANY (claim_task.known)
      AND (c.lease_until IS NULL OR c.lease_until + task_backoff(c.consecutive_failures) <= moment)
      AND (c.asked_at IS NOT NULL OR NOT c.paused AND c.next_run_at <= moment)
    ORDER BY c.asked_at IS NULL, c.next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        RETURN;
    END IF;
    IF t.lease_until IS NOT NULL THEN
        PERFORM record_run(t, 'lost', NULL, 'the process that ran it ended or stood still', moment);
    END IF;
    RETURN QUERY UPDATE scheduled_tasks c SET attempt = c.attempt + 1, runner = left(coalesce(claim_task.runner, ''), 255),
        started_at = moment, lease_until = moment + claim_task.lease
    WHERE c.name = t.name RETURNING c.*;
END $$;
