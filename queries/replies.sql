-- name: BoundLocks :exec
-- For the rest of the transaction, how long a statement waits for a lock.
SELECT set_config('lock_timeout', @limit_ms::text, true);

-- name: TakeReply :many
-- None or one: the reply that is kept under the key, which is this transaction's now.
SELECT r.* FROM penstock.take_reply(@caller::text, @key::text) r;

-- name: StoreReply :exec
SELECT penstock.store_reply(@caller::text, @key::text, @request::bytea, @status::integer, @headers::jsonb, @body::bytea);
