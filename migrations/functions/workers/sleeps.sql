-- True while somebody sleeps for the queue (fall_asleep), or another asks the same just now.
-- One expression, which Postgres takes into the caller's.
CREATE OR REPLACE FUNCTION penstock.sleeps(queue text) RETURNS boolean
LANGUAGE sql AS $$
    SELECT NOT (pg_try_advisory_lock(x'70656e73'::integer, hashtext(queue))
        AND pg_advisory_unlock(x'70656e73'::integer, hashtext(queue)))
$$;
