-- name: ListTasks :many
SELECT * FROM penstock.scheduled_tasks t ORDER BY t.name;

-- name: GetTask :one
SELECT * FROM penstock.scheduled_tasks t WHERE t.name = @name;

-- name: ListUnplannedTasks :many
-- Those whose next tick nobody has worked out yet, and the moment it counts from.
SELECT t.name, t.schedule, t.time_zone, clock_timestamp()::timestamptz AS moment FROM penstock.scheduled_tasks t
WHERE t.next_run_at IS NULL AND t.name = ANY (@known::text[]) ORDER BY t.name;

-- name: ClaimTask :many
-- One row, or none when nothing is due.
SELECT * FROM penstock.claim_task(@known::text[], @runner::text, @lease::interval);

-- name: ExtendTask :one
SELECT penstock.extend_task(@task::text, @attempt::bigint, @lease::interval)::boolean AS ours;

-- name: FinishTask :one
SELECT penstock.finish_task(@task::text, @attempt::bigint, @outcome::text, sqlc.narg(result)::jsonb, sqlc.narg(error)::text,
    @schedule::text, @time_zone::text, sqlc.narg(next_run_at)::timestamptz)::boolean AS ours;

-- name: PlanTask :one
SELECT penstock.plan_task(@task::text, @schedule::text, @time_zone::text, sqlc.narg(next_run_at)::timestamptz,
    sqlc.narg(problem)::text)::boolean AS changed;

-- name: SetTask :one
SELECT penstock.set_task(@task::text, sqlc.narg(schedule)::text, sqlc.narg(time_zone)::text, sqlc.narg(paused)::boolean,
    sqlc.narg(settings)::jsonb)::boolean AS known;

-- name: RunTask :one
-- The epoch when there is no such task.
SELECT coalesce(penstock.run_task(@task::text), 'epoch')::timestamptz AS asked_at;

-- name: ListTaskRuns :many
SELECT * FROM penstock.task_runs r
WHERE (sqlc.narg(task)::text IS NULL OR r.task = sqlc.narg(task)::text)
  AND (sqlc.narg(before_id)::bigint IS NULL OR r.id < sqlc.narg(before_id)::bigint)
ORDER BY r.id DESC LIMIT @row_limit;

-- name: PruneTaskRuns :one
SELECT penstock.prune_task_runs(@older_than::interval)::integer AS pruned;

-- name: RunSince :one
-- The first run of a task that started at a moment or later and came to its own end.
SELECT * FROM penstock.task_runs r
WHERE r.task = @task AND r.started_at >= @asked_at AND r.outcome IN ('completed', 'failed') ORDER BY r.id LIMIT 1;
