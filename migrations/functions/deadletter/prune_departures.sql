-- Deletes records of how dead jobs left, up to max_rows: those whose partition is gone and that
-- are older than 90 days. It returns how many.
CREATE OR REPLACE FUNCTION penstock.prune_departures(max_rows integer DEFAULT 10000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH old AS MATERIALIZED (
        SELECT l.job_id, l.queue FROM penstock.departures l
        WHERE l.departed_at < clock_timestamp() - interval '90 days'
          AND l.job_id < (SELECT min(p.first_day) * 100000000000 FROM penstock.partitions p)
        ORDER BY l.departed_at LIMIT greatest(max_rows, 0) FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM penstock.departures l USING old o WHERE l.job_id = o.job_id AND l.queue = o.queue RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;
