-- Returns true if a session listens for the queue (start_listening), or if another session
-- asks the same at this moment. One expression, so that Postgres inlines it into the caller.
CREATE OR REPLACE FUNCTION penstock.has_listener(queue text) RETURNS boolean
LANGUAGE sql AS $$
    SELECT NOT (pg_try_advisory_lock(x'70656e73'::integer, hashtext(queue))
        AND pg_advisory_unlock(x'70656e73'::integer, hashtext(queue)))
$$;
