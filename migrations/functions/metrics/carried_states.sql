-- Returns what each queue holds: the last count, carried forward by the tallies since. How many
-- jobs wait or run is exact. How many of the waiting ones retry, and what has fallen due since, is
-- as of the count (at).
CREATE OR REPLACE FUNCTION penstock.carried_states(queue text) RETURNS SETOF penstock.live_states
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH last AS (
        SELECT coalesce(q.queue, u.queue) AS queue, coalesce(q.at, clock_timestamp()) AS at, coalesce(q.dead, 0) AS dead,
            coalesce(q.waiting + q.scheduled + q.retrying + q.running + q.came, 0) + coalesce(u.came, 0) AS jobs,
            coalesce(q.scheduled + q.came_later, 0) + coalesce(u.later, 0) AS scheduled, coalesce(q.retrying, 0) AS retrying,
            coalesce(q.waiting + q.scheduled + q.retrying - q.due + q.came_later, 0) + coalesce(u.later, 0) AS undue,
            q.oldest_due, q.mean_due
        FROM (SELECT * FROM queue_states q WHERE carried_states.queue IS NULL OR q.queue = carried_states.queue) q
        FULL JOIN (SELECT * FROM unfolded u WHERE carried_states.queue IS NULL OR u.queue = carried_states.queue) u ON u.queue = q.queue
    ), now AS (
        SELECT l.*, coalesce(r.running, 0) AS running, greatest(l.jobs - coalesce(r.running, 0), 0) AS pending, coalesce(s.slots, 0) AS slots
        FROM last l LEFT JOIN queue_slots s ON s.queue = l.queue
        LEFT JOIN (SELECT r.queue, count(*) AS running FROM running r
            WHERE carried_states.queue IS NULL OR r.queue = carried_states.queue GROUP BY r.queue) r ON r.queue = l.queue
    )
    SELECT n.queue, n.at, n.pending - p.scheduled - p.retrying, p.scheduled, p.retrying, p.due, n.running, n.dead, n.slots::integer,
        CASE WHEN p.due > 0 THEN coalesce(n.oldest_due, n.at) END, CASE WHEN p.due > 0 THEN coalesce(n.mean_due, n.at) END
    FROM now n CROSS JOIN LATERAL (SELECT least(greatest(n.scheduled, 0), n.pending) AS scheduled,
        least(n.retrying, greatest(n.pending - greatest(n.scheduled, 0), 0)) AS retrying,
        least(greatest(n.pending - n.undue, 0), n.pending) AS due) p;
END $$;
