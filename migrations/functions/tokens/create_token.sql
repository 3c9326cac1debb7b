-- Creates a token whose secret the caller knows. Null queues are all queues; a null expires_in is
-- never.
CREATE OR REPLACE FUNCTION penstock.create_token(id text, name text, role text, queues text[], secret bytea, expires_in interval)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
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
