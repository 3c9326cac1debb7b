-- Deletes runs of tasks that ended longer ago than the given time, and returns how many.
CREATE OR REPLACE FUNCTION penstock.prune_task_runs(older_than interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    gone integer;
BEGIN
    DELETE FROM task_runs r WHERE r.finished_at < clock_timestamp() - older_than;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;
