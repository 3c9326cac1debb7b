-- Requests a run of a task now, even if it is paused. A run that is under way does not count. It
-- returns the time from which on the run starts; null if there is no such task.
CREATE OR REPLACE FUNCTION penstock.run_task(task text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    UPDATE scheduled_tasks c SET asked_at = moment WHERE c.name = run_task.task;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    PERFORM audit('scheduled_tasks.run', NULL, NULL, jsonb_build_object('name', run_task.task));
    RETURN moment;
END $$;
