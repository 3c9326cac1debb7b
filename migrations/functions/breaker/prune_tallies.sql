-- Deletes tallies that are older than the longest span of a breaker.
CREATE OR REPLACE FUNCTION penstock.prune_tallies() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    gone integer;
BEGIN
    DELETE FROM breaker_tallies t WHERE t.at < clock_timestamp() - interval '1 hour';
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;
