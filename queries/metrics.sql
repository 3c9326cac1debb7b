-- name: SampleMetrics :one
-- How many tallies it added to the samples; -1 while somebody else is at it.
SELECT coalesce(penstock.sample_metrics(@max_tallies::integer), -1)::integer AS folded;

-- name: FoldMetrics :one
-- The same when there are at least so many tallies; else 0.
SELECT coalesce(penstock.fold_metrics(@least_tallies::integer, @max_tallies::integer), -1)::integer AS folded;

-- name: RollUpMetrics :one
-- How many hours it summed up; -1 while somebody else is at it.
SELECT coalesce(penstock.roll_up_metrics(), -1)::integer AS hours;

-- name: PruneMetrics :one
SELECT penstock.prune_metrics(@max_rows::integer)::integer AS pruned;

-- name: QueueMetrics :many
SELECT * FROM penstock.queue_metrics(sqlc.narg(queue)::text, @span::interval);

-- name: Performance :many
-- From since to until (null: now), or the span before that.
SELECT * FROM penstock.performance(@queue::text, sqlc.narg(name)::text,
    coalesce(sqlc.narg(since)::timestamptz, coalesce(sqlc.narg(until)::timestamptz, now()) - @span::interval),
    coalesce(sqlc.narg(until)::timestamptz, now()));

-- name: History :many
SELECT * FROM penstock.history(sqlc.narg(queue)::text, @since::timestamptz, coalesce(sqlc.narg(until)::timestamptz, now()), @step::text);
