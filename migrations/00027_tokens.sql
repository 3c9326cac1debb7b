-- Tokens of the HTTP API. The secret is 256 random bits that are shown once; what is
-- kept is their SHA-256, which needs no salt and no slow hash: there is nothing to
-- guess. The table has a row per token and is read whole, never by a request.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
CREATE TABLE penstock.api_tokens (
    id           text        PRIMARY KEY CHECK (id ~ '^[a-z0-9]{8,32}$'),
    name         text        NOT NULL,
    role         text        NOT NULL CHECK (role IN ('reader', 'producer', 'worker', 'operator', 'admin')),
    queues       text[],
    secret       bytea       NOT NULL CHECK (octet_length(secret) = 32),
    old_secret   bytea       CHECK (octet_length(old_secret) = 32),
    old_until    timestamptz,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by   text        NOT NULL,
    expires_at   timestamptz,
    rotated_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE UNIQUE INDEX api_tokens_name ON penstock.api_tokens (name) WHERE revoked_at IS NULL;
COMMENT ON COLUMN penstock.api_tokens.queues IS 'Names of queues, or beginnings of them and a *; null is every queue.';
COMMENT ON COLUMN penstock.api_tokens.old_secret IS 'The one before the last rotation, good until old_until.';

-- +goose StatementBegin
-- What the audit log keeps of a token: never a hash, nor when it was last used.
CREATE FUNCTION penstock.token_facts(t penstock.api_tokens) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(t) - 'secret' - 'old_secret' - 'last_used_at'
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.audit_token() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    was CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN token_facts(OLD) END;
    is_ CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN token_facts(NEW) END;
BEGIN
    IF was IS DISTINCT FROM is_ THEN
        PERFORM audit('api_tokens.' || lower(TG_OP), NULL, was, is_);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON penstock.api_tokens
    FOR EACH ROW EXECUTE FUNCTION penstock.audit_token();

-- +goose StatementBegin
-- Makes a token of which the caller knows the secret. queues null is every queue;
-- expires_in null is never.
CREATE FUNCTION penstock.create_token(id text, name text, role text, queues text[], secret bytea, expires_in interval)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('name', create_token.name);
    IF create_token.role IS NULL OR create_token.role NOT IN ('reader', 'producer', 'worker', 'operator', 'admin') THEN
        PERFORM refuse('role', 'reader, producer, worker, operator or admin', create_token.role);
    ELSIF cardinality(create_token.queues) NOT BETWEEN 1 AND 100 THEN
        PERFORM refuse('queues', '1 to 100 names or patterns, or left out for every queue', cardinality(create_token.queues)::text);
    ELSIF create_token.expires_in NOT BETWEEN interval '1 minute' AND interval '10 years' THEN
        PERFORM refuse('expires_in', 'from a minute to 10 years', create_token.expires_in::text);
    END IF;
    PERFORM refuse('queues', 'names of queues, or beginnings of them and a *', q)
    FROM unnest(create_token.queues) q WHERE q IS NULL OR q !~ '^([A-Za-z0-9._:/-]{1,128}|[A-Za-z0-9._:/-]{0,127}\*)$';
    INSERT INTO api_tokens (id, name, role, queues, secret, expires_at, created_by)
    VALUES (create_token.id, create_token.name, create_token.role, nullif(create_token.queues, '{*}'), create_token.secret,
        clock_timestamp() + create_token.expires_in, actor());
EXCEPTION WHEN unique_violation THEN
    PERFORM refuse('name', 'the name of no other token that is not revoked', create_token.name);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Gives a token, found by its id, a new secret. The one it had is good for overlap
-- longer; the one before that is not. False when there is no such token, or it is
-- revoked or expired.
CREATE FUNCTION penstock.rotate_token(id text, secret bytea, overlap interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF overlap NOT BETWEEN interval '0' AND interval '90 days' THEN
        PERFORM refuse('overlap', 'from 0 to 90 days', overlap::text);
    END IF;
    UPDATE api_tokens t SET secret = rotate_token.secret, old_secret = t.secret, old_until = moment + overlap, rotated_at = moment
    WHERE t.id = rotate_token.id AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > moment);
    RETURN FOUND;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Ends a token for good. False when there is no such token or it was revoked before.
CREATE FUNCTION penstock.revoke_token(id text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE api_tokens t SET revoked_at = clock_timestamp() WHERE t.id = revoke_token.id AND t.revoked_at IS NULL;
    RETURN FOUND;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Notes that these tokens were used so many seconds ago. Servers tell now and then.
CREATE FUNCTION penstock.note_token_uses(ids text[], ages interval[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    UPDATE penstock.api_tokens t SET last_used_at = greatest(t.last_used_at, clock_timestamp() - u.age)
    FROM (SELECT i.id, i.age FROM unnest(note_token_uses.ids, note_token_uses.ages) i(id, age) ORDER BY i.id) u
    WHERE t.id = u.id
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.create_token(text, text, text, text[], bytea, interval), penstock.rotate_token(text, bytea, interval),
    penstock.revoke_token(text), penstock.note_token_uses(text[], interval[]);
DROP TABLE penstock.api_tokens CASCADE;
DROP FUNCTION penstock.audit_token();
