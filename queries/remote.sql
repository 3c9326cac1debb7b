-- name: RegisterRemoteWorker :one
SELECT penstock.register_remote_worker(@owner::text, @queues::text[], @host::text, @pid::integer, @version::text,
    @concurrency::integer, sqlc.narg(handlers)::text[])::bigint AS id;

-- name: RemoteQueues :one
SELECT penstock.remote_queues(@worker_id::bigint, @owner::text)::text[] AS queues;

-- name: RemoteClaim :many
SELECT * FROM penstock.remote_claim(@worker_id::bigint, @owner::text, @claim_id::text, @max_jobs::integer,
    sqlc.narg(from_queues)::text[]);

-- name: RemoteHeartbeat :one
SELECT (h).cancels::bigint[] AS cancels, (h).lost::bigint[] AS lost, (h).released::integer AS released
FROM penstock.remote_heartbeat(@worker_id::bigint, @owner::text, sqlc.narg(held_ids)::bigint[], sqlc.narg(held_attempts)::integer[]) AS h;

-- name: RemoteFinish :many
SELECT * FROM penstock.remote_finish(@worker_id::bigint, @owner::text, @queue::text, @job_ids::bigint[], @attempts::integer[],
    @outcomes::text[], @error_classes::text[], @messages::text[], @details::text[], @results::jsonb[], @delays::interval[]);

-- name: RemoteFinishCompleted :many
-- The short way of finish: plain successes.
SELECT * FROM penstock.remote_finish(@worker_id::bigint, @owner::text, @queue::text, @job_ids::bigint[], @attempts::integer[]);

-- name: RemoteProgress :many
-- The jobs whose attempt is not the worker's any more.
SELECT penstock.remote_progress(@worker_id::bigint, @owner::text, @job_ids::bigint[], @attempts::integer[],
    @percents::integer[], @notes::text[])::bigint AS lost_id;

-- name: DeregisterRemoteWorker :one
SELECT penstock.deregister_remote_worker(@worker_id::bigint, @owner::text)::integer AS released;

-- name: RemoteBeats :one
SELECT penstock.remote_beats(@worker_ids::bigint[])::bigint[] AS alive;

-- name: DueIn :many
SELECT (d).queue::text AS queue, (d).due::interval AS due FROM penstock.due_in(@queues::text[]) AS d;

-- name: PruneRemoteClaims :one
SELECT penstock.prune_remote_claims()::integer AS pruned;
