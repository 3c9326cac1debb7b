-- name: EnqueueGroups :batchone
-- One call per queue, sent together: one implicit transaction, one commit.
SELECT penstock.enqueue_many(@queue::text, @names::text[], @data::jsonb[], @options::jsonb[], @notify::boolean)::bigint[] AS ids;

-- name: ListJobs :many
-- What was asked and where it is, as long as the data before it has at most max_bytes as
-- text: so the first always comes. Served by the primary keys.
SELECT s.*, j.data, j.tags, j.expires_at, j.retry, j.max_attempts, j.trace_context
FROM penstock.job_states s JOIN penstock.jobs j ON j.id = s.id AND j.queue = s.queue
WHERE s.id = ANY (
    SELECT z.id FROM (
        SELECT k.id, sum(octet_length(k.data::text)) OVER (ORDER BY k.id DESC) - octet_length(k.data::text) AS before
        FROM penstock.jobs k WHERE k.id = ANY (@ids::bigint[])) z
    WHERE z.before <= @max_bytes::bigint)
ORDER BY s.id DESC;

-- name: ListAttempts :many
SELECT * FROM penstock.attempts a WHERE a.job_id = @job_id ORDER BY a.attempt;

-- name: ListDescendants :many
-- The jobs that redrives made of this one, near and far.
WITH RECURSIVE line(id) AS (
    SELECT l.new_job_id FROM penstock.departures l WHERE l.job_id = @job_id AND l.new_job_id IS NOT NULL
    UNION
    SELECT l.new_job_id FROM line p JOIN penstock.departures l ON l.job_id = p.id WHERE l.new_job_id IS NOT NULL
)
SELECT line.id::bigint AS id FROM line ORDER BY line.id LIMIT 100;

-- name: FindJobs :one
SELECT (f).ids::bigint[] AS ids, (f).more::boolean AS more, coalesce((f).last_id, 0)::bigint AS last_id
FROM penstock.find_jobs(@filter::jsonb, sqlc.narg(before_id)::bigint, @max_rows::integer, @max_scanned::integer) AS f;

-- name: ChangeJobs :one
SELECT (c).changed::integer AS changed, (c).more::boolean AS more, coalesce((c).last_id, 0)::bigint AS last_id
FROM penstock.change_jobs(@action::text, @filter::jsonb, sqlc.narg(argument)::text, sqlc.narg(before_id)::bigint,
    @max_rows::integer, @max_scanned::integer) AS c;

-- name: CancelJob :one
-- Empty when no such job is known.
SELECT coalesce(penstock.cancel(@job_id::bigint), '')::text AS word;

-- name: DeadLetter :one
SELECT penstock.dead_letter(@job_id::bigint, @message::text)::boolean AS changed;

-- name: Reprioritize :one
SELECT penstock.reprioritize(@job_id::bigint, @priority::text)::boolean AS changed;

-- name: Reschedule :one
SELECT penstock.reschedule(@job_id::bigint, sqlc.narg(run_at)::timestamptz)::boolean AS changed;

-- name: JobStates :many
-- Where jobs are; those that are not kept are left out. Served by the primary keys.
SELECT s.id::bigint AS id, s.state::text AS state FROM penstock.job_states s WHERE s.id = ANY (@ids::bigint[]);

-- name: ExplainJob :one
SELECT coalesce(penstock.explain(@id::bigint), 'null')::jsonb AS explanation;

-- name: NoteProgress :one
SELECT penstock.progress(@queue::text, @job_id::bigint, @attempt::integer, @percent::integer, @note::text)::boolean AS ours;

-- name: NameActor :exec
-- For the rest of the transaction, whom the audit log names.
SELECT set_config('penstock.actor', @actor::text, true);

-- name: Actor :one
-- Whom the audit log would name; empty for the database user.
SELECT coalesce(current_setting('penstock.actor', true), '')::text AS actor;

-- name: ListAudit :many
SELECT * FROM penstock.audit_log l
WHERE (sqlc.narg(queue)::text IS NULL OR l.queue = sqlc.narg(queue)::text)
  AND (sqlc.narg(before_id)::bigint IS NULL OR l.id < sqlc.narg(before_id)::bigint)
ORDER BY l.id DESC LIMIT @row_limit;

-- name: PauseQueue :exec
SELECT penstock.pause_queue(@queue::text);

-- name: ResumeQueue :exec
SELECT penstock.resume_queue(@queue::text);
