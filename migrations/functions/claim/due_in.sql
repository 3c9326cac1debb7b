-- How long until each queue has a due job: zero or less where it has one, no entry
-- where none waits. Paused queues have none. Two probes per lane, however many wait.
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
