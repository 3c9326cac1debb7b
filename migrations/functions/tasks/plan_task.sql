-- Sets the next tick of a task that has none, if its schedule and time zone are still those that it
-- was computed from; or records why there is none (problem). It returns whether anything changed.
CREATE OR REPLACE FUNCTION penstock.plan_task(task text, schedule text, time_zone text, next_run_at timestamptz, problem text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE scheduled_tasks c SET next_run_at = plan_task.next_run_at,
        error = coalesce(left(plan_task.problem, 4000), c.error),
        consecutive_failures = CASE WHEN plan_task.problem IS NULL THEN c.consecutive_failures
            ELSE greatest(c.consecutive_failures, 1) END
    WHERE c.name = plan_task.task AND c.schedule = plan_task.schedule AND c.time_zone = plan_task.time_zone
      AND c.next_run_at IS NULL AND (plan_task.next_run_at IS NOT NULL OR c.error IS DISTINCT FROM plan_task.problem);
    RETURN found;
END $$;
