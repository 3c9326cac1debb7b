-- Deletes stored replies that have expired. Index: replies_until.
CREATE OR REPLACE FUNCTION penstock.prune_replies(max_rows integer DEFAULT 10000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH gone AS (
        DELETE FROM penstock.replies r WHERE r.ctid = ANY (ARRAY(
            SELECT o.ctid FROM penstock.replies o WHERE o.until < clock_timestamp() ORDER BY o.until
            LIMIT prune_replies.max_rows FOR UPDATE SKIP LOCKED))
        RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;
