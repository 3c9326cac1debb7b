-- Returns the state of one queue, or of all (null): counted now, or carried forward if more than
-- 10,000 jobs wait or are dead and a session counts every ten seconds.
CREATE OR REPLACE FUNCTION penstock.states_of(queue text) RETURNS SETOF penstock.live_states
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
    long live_states[] := ARRAY(SELECT c FROM carried_states(states_of.queue) c
        WHERE (c.waiting + c.scheduled + c.retrying > 10000 OR c.dead > 10000)
          AND (SELECT s.next_look_at FROM sampling s) > clock_timestamp() - interval '1 minute');
BEGIN
    RETURN QUERY SELECT l.* FROM unnest(long) l;
    IF states_of.queue IS NULL AND long = '{}' THEN
        RETURN QUERY SELECT s.* FROM live_states s;
    ELSIF states_of.queue IS NULL THEN
        RETURN QUERY SELECT s.* FROM live_states s WHERE s.queue = ANY (ARRAY(
            SELECT q.queue FROM queue_states q UNION SELECT u.queue FROM unfolded u UNION SELECT q.queue FROM queues q
            UNION SELECT q.queue FROM queue_slots q EXCEPT SELECT l.queue FROM unnest(long) l));
    ELSIF long = '{}' THEN
        RETURN QUERY SELECT s.* FROM live_states s WHERE s.queue = states_of.queue;
    END IF;
END $$;
