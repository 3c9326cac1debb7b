-- name: EnsurePartitions :one
SELECT penstock.ensure_partitions(@days_ahead::integer)::integer AS made;

-- name: DropPartition :one
-- The first day of the partition dropped, as days since 1970; -1 when none.
SELECT coalesce(penstock.drop_partitions(), -1)::integer AS first_day;

-- name: ExpireJobs :one
SELECT penstock.expire_jobs(@max_jobs::integer)::integer AS expired;

-- name: PruneDepartures :one
SELECT penstock.prune_departures(@max_rows::integer)::integer AS pruned;

-- name: PruneKeys :one
SELECT penstock.prune_keys(@max_keys::integer)::integer AS pruned;

-- name: PruneReplies :one
SELECT penstock.prune_replies(@max_rows::integer)::integer AS pruned;
