-- name: RegisterWorker :one
SELECT penstock.register_worker(@queues::text[], @host::text, @pid::integer, @version::text, @concurrency::integer,
    @handlers::text[], @slots::integer[])::bigint AS id;

-- name: Heartbeat :one
-- alive is false when the worker was buried; else cancels lists jobs to cancel.
SELECT (h.cancels IS NOT NULL)::boolean AS alive, coalesce(h.cancels, '{}')::bigint[] AS cancels
FROM (SELECT penstock.heartbeat(@worker_id::bigint, @started_at::timestamptz, @stuck::integer)::bigint[] AS cancels) h;

-- name: WorkerStarted :one
SELECT w.started_at FROM penstock.workers w WHERE w.id = @worker_id;

-- name: DrainWorker :one
SELECT penstock.drain_worker(@worker_id::bigint, @started_at::timestamptz)::boolean AS known;

-- name: SuspectJob :one
SELECT penstock.suspect_job(@worker_id::bigint, sqlc.narg(job_id)::bigint)::boolean AS known;

-- name: LostLeases :one
SELECT penstock.lost_leases(@worker_id::bigint, @queues::text[], @job_ids::bigint[], @attempts::integer[])::bigint[] AS job_ids;

-- name: ListBeats :many
SELECT w.id, w.beat FROM penstock.workers w ORDER BY w.id;

-- name: Bury :one
-- -1 when the worker beat meanwhile, is gone, or another sweeper is at it.
SELECT coalesce(penstock.bury(@worker_id::bigint, @beat::bigint), -1)::integer AS lost;

-- name: BuryOrphans :one
SELECT penstock.bury_orphans()::integer AS lost;

-- name: FailOverdue :one
SELECT penstock.fail_overdue(@grace::interval)::integer AS failed;

-- name: DeregisterWorker :one
SELECT penstock.deregister_worker(@worker_id::bigint)::integer AS released;

-- name: StartListening :exec
SELECT penstock.start_listening(@queue::text);

-- name: StopListening :exec
SELECT penstock.stop_listening(@queue::text);

-- name: ListWorkers :many
-- Counts what each holds; few rows run at any moment.
SELECT w.id, w.started_at, w.beat_at, w.pid, w.concurrency, w.host, w.version, w.queues, w.handlers,
    coalesce(r.jobs, 0)::bigint AS running
FROM penstock.workers w
LEFT JOIN (SELECT r.worker_id, count(*) AS jobs FROM penstock.running r GROUP BY r.worker_id) r ON r.worker_id = w.id
WHERE sqlc.narg(queue)::text IS NULL OR sqlc.narg(queue)::text = ANY (w.queues) ORDER BY w.id;
