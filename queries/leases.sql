-- name: Claim :many
SELECT * FROM penstock.claim(@queue::text, @worker_id::bigint, @max_jobs::integer, @default_timeout::interval,
    sqlc.narg(since)::timestamptz, @swept_from::smallint, @seen_priorities::smallint[], @seen_run_ats::timestamptz[], @seen_ids::bigint[]);

-- name: Horizon :one
SELECT h.at::timestamptz AS at, h.own::bigint AS own, h.under::bigint[] AS under, h.merged::boolean AS merged
FROM penstock.horizon(@queue::text) h;

-- name: NextDue :one
-- An hour when no job waits for a later time.
SELECT coalesce(penstock.next_due(@queue::text, @swept::boolean, @since::interval), '1 hour')::interval AS due;

-- name: CompleteMany :many
-- The short way of finish: plain successes, of which only those come back that were
-- not accepted.
SELECT * FROM penstock.complete_many(@queue::text, @job_ids::bigint[], @attempts::integer[], @claimed_ats::timestamptz[]);

-- name: Finish :many
SELECT * FROM penstock.finish(@queue::text, @job_ids::bigint[], @attempts::integer[], @outcomes::text[],
    @error_classes::text[], @messages::text[], @details::text[], @results::jsonb[], @delays::interval[],
    @claimed_ats::timestamptz[], @skip_locked::boolean);

-- name: Complete :exec
-- Raises PN409 when the lease is lost, which fails the caller's transaction (P5).
SELECT penstock.complete(@queue::text, @job_id::bigint, @attempt::integer, sqlc.narg(result)::jsonb, @claimed_at::timestamptz);

-- name: ReleaseUnheld :one
SELECT penstock.release_unheld(@queue::text, @worker_id::bigint, @held::bigint[], @claimed_ats::timestamptz[])::integer AS released;
