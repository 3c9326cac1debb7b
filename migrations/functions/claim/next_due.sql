-- Returns how long it is until the next waiting job of a queue falls due: next_due with
-- since => 0, for callers that do not claim before.
CREATE OR REPLACE FUNCTION penstock.next_due(queue text, swept boolean DEFAULT true) RETURNS interval
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$ SELECT next_due(queue, swept, '0') $$;

-- Returns how long it is until the next waiting job of a queue falls due. It looks at jobs
-- that were not yet due since ago, when the last claim was sent. For one that has fallen due
-- in between the result is zero or less. Null: no job waits for a later time. One probe of
-- pending's primary key per lane, however many jobs wait. swept => false probes all 100 lanes
-- instead of searching for the lanes that exist: the search reads dead index entries while a
-- snapshot is held.
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
