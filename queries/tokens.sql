-- name: CreateToken :exec
SELECT penstock.create_token(@id::text, @name::text, @role::text, sqlc.narg(queues)::text[], @secret::bytea,
    sqlc.narg(expires_in)::interval);

-- name: RotateToken :one
SELECT penstock.rotate_token(@id::text, @secret::bytea, @overlap::interval)::boolean AS rotated;

-- name: RevokeToken :one
SELECT penstock.revoke_token(@id::text)::boolean AS revoked;

-- name: ListTokens :many
-- Every token there ever was, the newest first, and the time it is.
SELECT t.id, t.name, t.role, t.queues, t.secret, t.old_secret, t.old_until, t.created_at, t.created_by, t.expires_at,
    t.rotated_at, t.last_used_at, t.revoked_at, clock_timestamp()::timestamptz AS now
FROM penstock.api_tokens t ORDER BY t.created_at DESC, t.id;

-- name: RecordTokenUses :exec
SELECT penstock.record_token_uses(@ids::text[], @ages::interval[]);
