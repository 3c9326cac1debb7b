-- Records how the latest run of a task ended, in its row and in the history.
CREATE OR REPLACE FUNCTION penstock.record_run(t penstock.scheduled_tasks, outcome text, result jsonb, error text, moment timestamptz)
RETURNS void LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    failed CONSTANT boolean := record_run.outcome IN ('failed', 'lost');
    done   CONSTANT boolean := record_run.outcome = 'completed';
BEGIN
    INSERT INTO task_runs (task, attempt, due_at, started_at, finished_at, outcome, runner, result, error)
    VALUES (t.name, t.attempt, CASE WHEN t.next_run_at <= t.started_at AND NOT t.paused THEN t.next_run_at END, t.started_at, moment,
        record_run.outcome, coalesce(t.runner, ''), record_run.result, left(record_run.error, 4000));
    UPDATE scheduled_tasks c SET lease_until = NULL, finished_at = moment,
        duration = moment - t.started_at, outcome = record_run.outcome,
        result = record_run.result, error = left(record_run.error, 4000),
        succeeded_at = CASE WHEN done THEN moment ELSE c.succeeded_at END,
        consecutive_failures = CASE WHEN done THEN 0 WHEN failed THEN least(c.consecutive_failures, 1000000) + 1
            ELSE c.consecutive_failures END,
        runs = c.runs + 1, failures = c.failures + failed::integer
    WHERE c.name = t.name;
END $$;
