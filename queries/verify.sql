-- name: HoldPartitions :exec
-- Before the snapshot is taken: so no partition is dropped between it and the reading.
LOCK TABLE penstock.jobs, penstock.attempts IN ACCESS SHARE MODE;

-- name: VerifyBegin :one
-- Takes the snapshot. jobs is an estimate, for progress.
SELECT clock_timestamp()::timestamptz AS taken_at, current_setting('transaction_isolation')::text AS isolation,
    coalesce((SELECT sum(greatest(c.reltuples, 0)) FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'penstock.jobs'::regclass), 0)::bigint AS jobs;

-- name: VerifyRanges :many
-- The ids of each partition, from low to below high.
SELECT (p.first_day * 100000000000)::bigint AS low, ((p.last_day + 1) * 100000000000)::bigint AS high
FROM penstock.partitions p ORDER BY p.first_day;

-- name: VerifyCut :one
SELECT penstock.verify_cut(@low::bigint, @high::bigint)::bigint AS cut;

-- name: VerifyJobs :many
SELECT * FROM penstock.verify_jobs(@low::bigint, @high::bigint);

-- name: VerifyRest :many
SELECT * FROM penstock.verify_rest();

-- name: ListVerifyChecks :many
SELECT * FROM penstock.verify_checks;
