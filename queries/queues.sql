-- name: CountByState :many
-- Reads the waiting, running and dead jobs only, never the finished ones.
SELECT c.queue::text AS queue, sum(c.waiting)::bigint AS waiting, sum(c.scheduled)::bigint AS scheduled,
    sum(c.retrying)::bigint AS retrying, sum(c.running)::bigint AS running, sum(c.dead)::bigint AS dead
FROM (
    SELECT p.queue, count(*) FILTER (WHERE p.failures + p.crashes = 0 AND p.run_at <= now()) AS waiting,
        count(*) FILTER (WHERE p.failures + p.crashes = 0 AND p.run_at > now()) AS scheduled,
        count(*) FILTER (WHERE p.failures + p.crashes > 0) AS retrying, 0 AS running, 0 AS dead
    FROM penstock.pending p GROUP BY p.queue
    UNION ALL SELECT r.queue, 0, 0, 0, count(*), 0 FROM penstock.running r GROUP BY r.queue
    UNION ALL SELECT d.queue, 0, 0, 0, 0, count(*) FROM penstock.dead_jobs d GROUP BY d.queue
) c
WHERE sqlc.narg(queue)::text IS NULL OR c.queue = sqlc.narg(queue)::text
GROUP BY c.queue ORDER BY c.queue;

-- name: GetQueue :one
-- A queue's settings; one without a row has the usual ones.
SELECT n.queue::text AS queue, coalesce(q.paused, false)::boolean AS paused,
    coalesce(q.default_priority, 5)::integer AS default_priority, coalesce(q.aging, 0)::float8 AS aging
FROM (SELECT @queue::text AS queue) n LEFT JOIN penstock.queues q ON q.queue = n.queue;

-- name: SetQueue :exec
SELECT penstock.set_queue(@queue::text, sqlc.narg(default_priority)::text, sqlc.narg(aging)::float8);

-- name: ListQueues :many
-- The queues that have settings of their own.
SELECT q.queue, q.paused, q.default_priority, q.aging FROM penstock.queues q ORDER BY q.queue;

-- name: QueueDepth :one
-- How many jobs wait in a queue, counted up to most. The claim index alone answers.
SELECT count(*)::bigint AS waiting
FROM (SELECT FROM penstock.pending p WHERE p.queue = @queue::text LIMIT @most::integer) counted;
