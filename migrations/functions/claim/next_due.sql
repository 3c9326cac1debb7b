-- How long until the next waiting job of a queue falls due, null when none waits
-- for a later time. One probe per lane, however many wait; swept => false probes
-- all 100 lanes instead of looking for the lanes there are, which walks dead
-- index entries while a snapshot is held.
CREATE OR REPLACE FUNCTION penstock.next_due(queue text, swept boolean DEFAULT true) RETURNS interval
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$ SELECT next_due(queue, swept, '0') $$;

-- How long until the next waiting job of a queue falls due, counted among those that had
-- not fallen due since ago, when the last claim was sent: what has meanwhile is due in no
-- time or less. Null when none waits for a later time. One probe per lane, however many
-- wait; swept => false probes all 100 lanes instead of looking for the lanes there are,
-- which walks dead index entries while a snapshot is held.
CREATE OR REPLACE FUNCTION penstock.next_due(queue text, swept boolean, since interval) RETURNS interval
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    lane_order CONSTANT smallint[] := CASE WHEN swept THEN lanes(next_due.queue)
        ELSE ARRAY(SELECT generate_series(1, 100)::smallint) END;
BEGIN
    RETURN (SELECT min(d.run_at) - clock_timestamp()
        FROM unnest(lane_order) l(priority)
        CROSS JOIN LATERAL (SELECT p.run_at FROM pending p WHERE p.queue = next_due.queue AND p.priority = l.priority
            AND p.run_at > now() - next_due.since ORDER BY p.run_at LIMIT 1) d);
END $$;
