-- name: FindDead :one
-- One page of a filtered walk through the dead letter queue, newest first.
SELECT (f).ids::bigint[] AS ids, (f).more::boolean AS more, coalesce((f).last_at, 'epoch')::timestamptz AS last_at,
    coalesce((f).last_id, 0)::bigint AS last_id
FROM penstock.find_dead(sqlc.narg(queue)::text, @filter::jsonb, sqlc.narg(before_at)::timestamptz,
    sqlc.narg(before_id)::bigint, @max_rows::integer, @max_scanned::integer) AS f;

-- name: ListDeadJobs :many
-- As long as the data before an entry has at most max_bytes as text: so the first always comes.
SELECT * FROM penstock.dead_jobs d WHERE d.job_id = ANY (
    SELECT z.job_id FROM (
        SELECT k.job_id, sum(octet_length(k.data::text)) OVER (ORDER BY k.failed_at DESC, k.job_id DESC)
            - octet_length(k.data::text) AS before
        FROM penstock.dead_jobs k WHERE k.job_id = ANY (@ids::bigint[])) z
    WHERE z.before <= @max_bytes::bigint)
ORDER BY d.failed_at DESC, d.job_id DESC;

-- name: GetDeadJob :one
SELECT * FROM penstock.dead_jobs d WHERE d.job_id = @job_id AND d.queue = @queue AND d.attempt = @attempt;

-- name: ListErrorGroups :many
-- The most frequent first.
SELECT * FROM penstock.error_groups g
WHERE (sqlc.narg(queue)::text IS NULL OR g.queue = sqlc.narg(queue)::text)
ORDER BY g.jobs DESC, g.last_seen DESC, g.fingerprint LIMIT @row_limit;

-- name: ResolveError :one
SELECT penstock.resolve_error(@queue::text, @fingerprint::text, @resolved::boolean)::boolean AS known;

-- name: Redrive :one
SELECT penstock.redrive(@queue::text, @entry::text, sqlc.narg(data)::jsonb)::bigint AS id;

-- name: ProcessScheduledRetries :one
SELECT penstock.process_scheduled_retries(sqlc.narg(queue)::text, @max_jobs::integer)::bigint[] AS ids;

-- name: PurgeDead :one
-- Queue * is every queue.
SELECT penstock.purge_dead(@queue::text, @older_than::interval, @filter::jsonb, @max_jobs::integer)::integer AS purged;

-- name: PurgeExpiredDead :one
SELECT penstock.purge_expired_dead(@max_jobs::integer)::integer AS purged;

-- name: CountDead :one
SELECT (c).jobs::bigint AS jobs, (c).sample::bigint[] AS sample, (c).capped::boolean AS capped
FROM penstock.count_dead(sqlc.narg(queue)::text, @filter::jsonb, @most::integer) AS c;

-- name: DeadTotals :one
SELECT count(*) AS jobs, count(*) FILTER (WHERE d.can_retry) AS retryable,
    count(*) FILTER (WHERE d.next_retry_at IS NOT NULL) AS scheduled,
    coalesce(min(d.failed_at), 'epoch')::timestamptz AS oldest, coalesce(max(d.failed_at), 'epoch')::timestamptz AS newest
FROM penstock.dead_jobs d WHERE sqlc.narg(queue)::text IS NULL OR d.queue = sqlc.narg(queue)::text;

-- name: DeadBy :many
-- How many died, by reason, by class and by name; the most frequent first, up to
-- 300 of each kind, so that a flood of classes hides no reason.
WITH c AS (
    SELECT 'reason'::text AS kind, d.reason AS value, count(*) AS jobs FROM penstock.dead_jobs d
    WHERE sqlc.narg(queue)::text IS NULL OR d.queue = sqlc.narg(queue)::text GROUP BY d.reason
    UNION ALL
    SELECT 'class'::text, d.error_class, count(*) FROM penstock.dead_jobs d
    WHERE sqlc.narg(queue)::text IS NULL OR d.queue = sqlc.narg(queue)::text GROUP BY d.error_class
    UNION ALL
    SELECT 'name'::text, d.name, count(*) FROM penstock.dead_jobs d
    WHERE sqlc.narg(queue)::text IS NULL OR d.queue = sqlc.narg(queue)::text GROUP BY d.name
)
SELECT r.kind, r.value, r.jobs FROM (
    SELECT c.kind, c.value, c.jobs, row_number() OVER (PARTITION BY c.kind ORDER BY c.jobs DESC, c.value) AS place FROM c) r
WHERE r.place <= 300 ORDER BY r.kind, r.place;

-- name: DeparturesByDay :many
-- How many left the dead letter queue, by UTC day; the last thirty days that have any.
SELECT date_trunc('day', l.departed_at AT TIME ZONE 'UTC')::timestamp::timestamptz AS day,
    count(*) FILTER (WHERE l.how = 'redriven') AS redriven, count(*) FILTER (WHERE l.how = 'purged') AS purged
FROM penstock.departures l
WHERE (sqlc.narg(queue)::text IS NULL OR l.queue = sqlc.narg(queue)::text)
GROUP BY 1 ORDER BY 1 DESC LIMIT 30;

-- name: SetDeadPolicy :exec
SELECT penstock.set_dead_policy(@queue::text, sqlc.narg(delay)::interval, sqlc.narg(multiplier)::float8,
    sqlc.narg(max_generations)::integer, sqlc.narg(retention)::interval);

-- name: GetDeadPolicy :one
SELECT coalesce(q.delay, e.delay)::interval AS delay, coalesce(q.multiplier, e.multiplier)::float8 AS multiplier,
    coalesce(q.max_generations, e.max_generations)::integer AS max_generations,
    coalesce(q.retention, e.retention)::interval AS retention
FROM penstock.dead_policies e LEFT JOIN penstock.dead_policies q ON q.queue = @queue WHERE e.queue = '*';
