-- Deletes the claims of workers that are gone.
CREATE OR REPLACE FUNCTION penstock.prune_remote_claims() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH gone AS (DELETE FROM penstock.remote_claims c
        WHERE NOT EXISTS (SELECT FROM penstock.workers w WHERE w.id = c.worker_id) RETURNING 1)
    SELECT count(*)::integer FROM gone
$$;
