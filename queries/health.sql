-- name: QueueHealth :many
SELECT * FROM penstock.queue_health(sqlc.narg(queue)::text);

-- name: DatabaseHealth :many
SELECT * FROM penstock.database_health();

-- name: ReportHealth :one
SELECT penstock.report_health(@retention::interval)::integer AS reports;

-- name: ListHealthReports :many
SELECT * FROM penstock.health_reports r
WHERE (sqlc.narg(queue)::text IS NULL OR r.queue = sqlc.narg(queue)::text)
  AND (sqlc.narg(before_id)::bigint IS NULL OR r.id < sqlc.narg(before_id)::bigint)
ORDER BY r.id DESC LIMIT @row_limit;

-- name: GetHealthThresholds :one
SELECT * FROM penstock.effective_thresholds(@queue::text);

-- name: SetHealthThresholds :exec
SELECT penstock.set_health_thresholds(@queue::text, @thresholds::jsonb);
