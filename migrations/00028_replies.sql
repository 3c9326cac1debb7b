-- Replies to requests that bore an idempotency key. The row is written by the
-- transaction in which the request had its effect, so there is one exactly if there is
-- the other, also when the reply never reached the client.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
CREATE TABLE penstock.replies (
    caller  text        NOT NULL,
    key     text        NOT NULL,
    request bytea       NOT NULL,
    status  smallint    NOT NULL,
    headers jsonb       NOT NULL,
    body    bytea       NOT NULL,
    until   timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX replies_until ON penstock.replies (until);
COMMENT ON COLUMN penstock.replies.request IS 'A digest of what was asked: the same key with another request is refused.';

-- +goose StatementBegin
-- Takes the key for this transaction and returns the reply that is kept under it, if
-- any. Whoever comes while another transaction has it is refused at once: two requests
-- that wait for each other's key would hold a connection each.
CREATE FUNCTION penstock.take_reply(caller text, key text) RETURNS SETOF penstock.replies
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF length(take_reply.key) NOT BETWEEN 1 AND 256 THEN
        PERFORM refuse('idempotency_key', '1 to 256 characters', take_reply.key);
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended(take_reply.caller || E'\n' || take_reply.key, x'70656e73'::bigint)) THEN
        RAISE EXCEPTION 'the first request with this idempotency key is still under way' USING ERRCODE = 'PN412';
    END IF;
    -- A new statement, so it sees what the holder before us committed.
    RETURN QUERY SELECT r.* FROM replies r
        WHERE r.caller = take_reply.caller AND r.key = take_reply.key AND r.until > clock_timestamp();
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Keeps the reply of the request that took the key, for 24 hours.
CREATE FUNCTION penstock.keep_reply(caller text, key text, request bytea, status integer, headers jsonb, body bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    INSERT INTO penstock.replies AS r (caller, key, request, status, headers, body, until)
    VALUES (keep_reply.caller, keep_reply.key, keep_reply.request, keep_reply.status, keep_reply.headers, keep_reply.body,
        clock_timestamp() + interval '24 hours')
    ON CONFLICT (caller, key) DO UPDATE SET request = excluded.request, status = excluded.status, headers = excluded.headers,
        body = excluded.body, until = excluded.until
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Forgets replies whose time is over.
CREATE FUNCTION penstock.prune_replies(max_rows integer DEFAULT 10000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    WITH gone AS (
        DELETE FROM penstock.replies r WHERE r.ctid = ANY (ARRAY(
            SELECT o.ctid FROM penstock.replies o WHERE o.until < clock_timestamp() ORDER BY o.until
            LIMIT prune_replies.max_rows FOR UPDATE SKIP LOCKED))
        RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.prune_replies(integer), penstock.keep_reply(text, text, bytea, integer, jsonb, bytea),
    penstock.take_reply(text, text);
DROP TABLE penstock.replies;
