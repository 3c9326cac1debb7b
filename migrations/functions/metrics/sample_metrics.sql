-- Adds tallies to the samples, and counts the state of the queues if ten seconds have passed since
-- the last count, or twenty times as long as it took. Call it every ten seconds from any number of
-- processes: one of them does the work and gets the number of tallies added (call again if it is
-- max_tallies); the others get null. A call that is killed has changed nothing.
-- Locks: an advisory lock (one session at a time).
CREATE OR REPLACE FUNCTION penstock.sample_metrics(max_tallies integer DEFAULT 5000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    started CONSTANT timestamptz := clock_timestamp();
    folded  integer;
BEGIN
    IF max_tallies IS NULL OR max_tallies NOT BETWEEN 1 AND 1000000 THEN
        PERFORM refuse('max_tallies', '1 to 1000000', max_tallies::text);
    ELSIF NOT pg_try_advisory_xact_lock(hashtext('penstock'), hashtext('metrics')) THEN
        RETURN NULL;
    END IF;
    folded := fold_tallies(max_tallies);
    IF EXISTS (SELECT FROM sampling s WHERE s.next_look_at <= started OR s.next_look_at > started + interval '1 hour') THEN
        PERFORM sample_states();
        -- A little early, because the caller's ten seconds are not exact.
        UPDATE sampling SET next_look_at = started + greatest(interval '9.5 seconds', least(20 * (clock_timestamp() - started), interval '10 minutes'));
    END IF;
    RETURN folded;
END $$;
