-- Deletes idempotency keys that have expired, up to max_keys. Index: idempotency_keys_until.
CREATE OR REPLACE FUNCTION penstock.prune_keys(max_keys integer DEFAULT 10000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH old AS MATERIALIZED (
        SELECT k.queue, k.key FROM penstock.idempotency_keys k
        WHERE k.until < clock_timestamp()
          AND NOT EXISTS (SELECT FROM penstock.pending p WHERE p.job_id = k.job_id AND p.queue = k.queue)
          AND NOT EXISTS (SELECT FROM penstock.running r WHERE r.job_id = k.job_id AND r.queue = k.queue)
        ORDER BY k.queue, k.key LIMIT max_keys FOR UPDATE OF k SKIP LOCKED
    ), gone AS (
        DELETE FROM penstock.idempotency_keys k USING old o WHERE k.queue = o.queue AND k.key = o.key RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;
