-- Locks the next due jobs of a queue with aging and returns where their rows are. It takes
-- the head of each lane and merges them by weight + wait x aging, which is the order of
-- run_at - weight / aging. See lane_head for the arguments.
-- Index: the primary key of pending. Locks: the rows, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.aged_heads(queue text, lane_order smallint[], moment timestamptz, aging float8, since timestamptz,
    swept_from smallint, seen_priorities smallint[], seen_run_ats timestamptz[], seen_ids bigint[],
    shut text[], probes bigint[], room integer) RETURNS tid[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT h.ctid
        FROM (SELECT l.priority, array_position(seen_priorities, l.priority) AS place FROM unnest(lane_order) l(priority)) l
        CROSS JOIN LATERAL (
            SELECT p.ctid, p.run_at, p.job_id FROM penstock.pending p
            WHERE p.queue = aged_heads.queue AND p.priority = l.priority AND p.run_at <= moment
              AND (p.run_at, p.job_id) > (CASE WHEN since IS NULL THEN '-infinity' WHEN l.place IS NOT NULL
                      THEN seen_run_ats[l.place] WHEN l.priority >= swept_from THEN since ELSE '-infinity' END,
                  coalesce(seen_ids[l.place], 0))
              AND (shut IS NULL OR p.name <> ALL (shut) OR p.job_id = ANY (probes))
            ORDER BY p.run_at, p.job_id LIMIT room FOR UPDATE SKIP LOCKED) h
        ORDER BY h.run_at - make_interval(secs => l.priority / aging), h.job_id LIMIT room);
END $$;
