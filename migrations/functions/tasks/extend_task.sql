-- Extends the lease of a run. False if the run is not the caller's any more.
CREATE OR REPLACE FUNCTION penstock.extend_task(task text, attempt bigint, lease interval DEFAULT '30 seconds') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE scheduled_tasks c SET lease_until = clock_timestamp() + least(extend_task.lease, '1 hour')
    WHERE c.name = extend_task.task AND c.attempt = extend_task.attempt AND c.lease_until IS NOT NULL;
    RETURN found;
END $$;
