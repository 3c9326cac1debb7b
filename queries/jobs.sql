-- name: EnqueueMany :one
-- The rows go in within the caller's transaction; ids come back in order.
SELECT penstock.enqueue_many(@queue::text, @names::text[], @data::jsonb[], @options::jsonb[], @notify::boolean)::bigint[] AS ids;

-- name: EnqueueGroups :batchone
-- One call per queue, sent together: one implicit transaction, one commit.
SELECT penstock.enqueue_many(@queue::text, @names::text[], @data::jsonb[], @options::jsonb[], @notify::boolean)::bigint[] AS ids;

-- name: GetJob :one
-- What was asked and where it is. Served by the primary keys.
SELECT s.*, j.data, j.tags, j.expires_at, j.retry, j.max_attempts, j.trace_context
FROM penstock.job_states s JOIN penstock.jobs j ON j.id = s.id AND j.queue = s.queue
WHERE s.id = @id;

-- name: ListAttempts :many
SELECT * FROM penstock.attempts a WHERE a.job_id = @job_id ORDER BY a.attempt;

-- name: CancelJob :one
-- Empty when no such job is known.
SELECT coalesce(penstock.cancel(@job_id::bigint), '')::text AS word;
