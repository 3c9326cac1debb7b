-- name: TakeReply :many
-- None or one: the reply that is kept under the key, which is this transaction's now.
SELECT r.* FROM penstock.take_reply(@caller::text, @key::text) r;

-- name: KeepReply :exec
SELECT penstock.keep_reply(@caller::text, @key::text, @request::bytea, @status::integer, @headers::jsonb, @body::bytea);
