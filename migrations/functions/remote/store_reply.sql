-- Stores the reply of the request that took the key, for 24 hours.
CREATE OR REPLACE FUNCTION penstock.store_reply(caller text, key text, request bytea, status integer, headers jsonb, body bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    INSERT INTO penstock.replies AS r (caller, key, request, status, headers, body, until)
    VALUES (store_reply.caller, store_reply.key, store_reply.request, store_reply.status, store_reply.headers, store_reply.body,
        clock_timestamp() + interval '24 hours')
    ON CONFLICT (caller, key) DO UPDATE SET request = excluded.request, status = excluded.status, headers = excluded.headers,
        body = excluded.body, until = excluded.until
$$;
