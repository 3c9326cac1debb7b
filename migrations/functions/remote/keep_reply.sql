-- Keeps the reply of the request that took the key, for 24 hours.
CREATE OR REPLACE FUNCTION penstock.keep_reply(caller text, key text, request bytea, status integer, headers jsonb, body bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    INSERT INTO penstock.replies AS r (caller, key, request, status, headers, body, until)
    VALUES (keep_reply.caller, keep_reply.key, keep_reply.request, keep_reply.status, keep_reply.headers, keep_reply.body,
        clock_timestamp() + interval '24 hours')
    ON CONFLICT (caller, key) DO UPDATE SET request = excluded.request, status = excluded.status, headers = excluded.headers,
        body = excluded.body, until = excluded.until
$$;
