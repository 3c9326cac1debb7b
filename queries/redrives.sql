-- name: StartRedrive :one
SELECT penstock.start_redrive(@queue::text, @filter::jsonb, @rate::integer, @canary::integer, @canary_share::float8,
    @max_generation::integer)::bigint AS id;

-- name: ControlRedrive :one
-- Empty for an unknown one.
SELECT coalesce(penstock.control_redrive(@id::bigint, @action::text), '')::text AS state;

-- name: ListRedrives :many
SELECT * FROM penstock.redrives r
WHERE (sqlc.narg(queue)::text IS NULL OR r.queue = sqlc.narg(queue)::text) ORDER BY r.id DESC LIMIT @row_limit;

-- name: GetRedrive :one
SELECT * FROM penstock.redrives r WHERE r.id = @id;

-- name: AdvanceRedrives :one
-- -1 when there is nothing to do now.
SELECT coalesce(penstock.advance_redrives(), -1)::integer AS redriven;
