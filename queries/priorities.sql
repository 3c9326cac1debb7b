-- name: ListRules :many
SELECT r.queue, r.position, r.condition::text AS condition, r.priority, e.message AS error, e.last_seen AS error_seen
FROM penstock.priority_rules r
LEFT JOIN penstock.priority_rule_errors e ON e.queue = r.queue AND e.position = r.position
WHERE sqlc.narg(queue)::text IS NULL OR r.queue = sqlc.narg(queue)::text
ORDER BY r.queue, r.position;

-- name: SetRule :exec
SELECT penstock.set_rule(@queue::text, @position::integer, sqlc.narg(condition)::text, @priority::text);

-- name: DecidePriority :one
-- Zero and the empty text stand for none: the parts of one decision.
SELECT (d).weight::integer AS weight, penstock.priority_level((d).weight)::text AS level, coalesce((d).rule, 0)::integer AS rule, (d).base::integer AS base,
    (d).shifting::text[] AS shifting, (d).errors::jsonb AS errors
FROM penstock.decide_priority(@queue::text, @data::jsonb, @tags::text[]) AS d;

-- name: ListLevels :many
SELECT * FROM penstock.priority_levels l ORDER BY l.weight;

-- name: SetLevel :exec
SELECT penstock.set_level(@level::text, @weight::integer);

-- name: SetTag :exec
SELECT penstock.set_tag(@tag::text, @shift::integer);

-- name: ListTags :many
SELECT * FROM penstock.priority_tags t ORDER BY t.tag;

-- name: PriorityDistribution :many
SELECT * FROM penstock.priority_distribution d
WHERE sqlc.narg(queue)::text IS NULL OR d.queue = sqlc.narg(queue)::text
ORDER BY d.queue, d.weight DESC;

-- name: ListBreakers :many
-- The names whose breaker is or was open.
SELECT s.queue, s.name, s.is_open, s.changed_at, s.next_probe_at, s.probe_job_id, s.attempts, s.failures
FROM penstock.breaker_states s WHERE s.queue = @queue ORDER BY s.name;

-- name: ListBreakerSettings :many
SELECT * FROM penstock.breakers b WHERE b.queue = @queue ORDER BY b.name;

-- name: SetBreaker :exec
SELECT penstock.set_breaker(@queue::text, @name::text, @enabled::boolean, @failure_share::float8,
    @least_attempts::integer, @span::interval, @cool_down::interval);

-- name: PruneTallies :one
SELECT penstock.prune_tallies()::integer AS pruned;
