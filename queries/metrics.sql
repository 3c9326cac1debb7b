-- name: SampleMetrics :one
-- How many tallies it added to the samples; -1 while somebody else is at it.
SELECT coalesce(penstock.sample_metrics(@max_tallies::integer), -1)::integer AS folded;

-- name: RollUpMetrics :one
-- How many hours it summed up; -1 while somebody else is at it.
SELECT coalesce(penstock.roll_up_metrics(), -1)::integer AS hours;

-- name: PruneMetrics :one
SELECT penstock.prune_metrics(@max_rows::integer)::integer AS pruned;
