-- name: ListDeadJobs :many
-- Newest first; served by dead_jobs_newest when a queue is given.
SELECT * FROM penstock.dead_jobs d
WHERE (sqlc.narg(queue)::text IS NULL OR d.queue = sqlc.narg(queue)::text)
ORDER BY d.failed_at DESC, d.job_id DESC LIMIT @row_limit;

-- name: GroupDeadJobs :many
-- Errors that are one error, most frequent first.
SELECT d.queue, d.fingerprint, d.error_class, d.reason, count(*) AS jobs, min(d.failed_at)::timestamptz AS first_seen,
    max(d.failed_at)::timestamptz AS last_seen, min(d.message)::text AS example
FROM penstock.dead_jobs d
WHERE (sqlc.narg(queue)::text IS NULL OR d.queue = sqlc.narg(queue)::text)
GROUP BY d.queue, d.fingerprint, d.error_class, d.reason
ORDER BY jobs DESC, last_seen DESC, d.fingerprint LIMIT @row_limit;
