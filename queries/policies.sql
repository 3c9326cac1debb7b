-- name: ListPolicies :many
-- The rows as they are: what is null comes from a broader row.
SELECT * FROM penstock.retry_policies p ORDER BY p.queue <> '*', p.queue, p.name <> '*', p.name;

-- name: GetPolicy :one
SELECT * FROM penstock.get_policy(@queue::text, @name::text, sqlc.narg(retry)::jsonb);

-- name: SetPolicy :exec
SELECT penstock.set_policy(@queue::text, @name::text, sqlc.narg(policy)::jsonb);

-- name: PreviewPolicy :many
SELECT * FROM penstock.preview_policy(@queue::text, @name::text, sqlc.narg(retry)::jsonb);
