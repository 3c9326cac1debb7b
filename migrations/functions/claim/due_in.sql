-- Returns how long it is until each queue has a due job: zero or less if it has one now. A
-- queue without a waiting job, or a paused one, has no row. Two index probes per lane, by the
-- primary key of pending, however many jobs wait.
CREATE OR REPLACE FUNCTION penstock.due_in(queues text[], OUT queue text, OUT due interval) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT q.queue, head.due FROM unnest(queues) q(queue)
    CROSS JOIN LATERAL (
        SELECT min(h.run_at) - clock_timestamp() AS due FROM unnest(lanes(q.queue)) l(priority)
        CROSS JOIN LATERAL (SELECT p.run_at FROM pending p WHERE p.queue = q.queue AND p.priority = l.priority
            ORDER BY p.run_at LIMIT 1) h) head
    WHERE head.due IS NOT NULL AND NOT EXISTS (SELECT FROM queues s WHERE s.queue = q.queue AND s.paused)
$$;
