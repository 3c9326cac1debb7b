-- Returns for whom the session acts: penstock.actor if it is set, else the database user.
CREATE OR REPLACE FUNCTION penstock.actor() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT left(coalesce(nullif(current_setting('penstock.actor', true), ''), session_user), 128)
$$;
