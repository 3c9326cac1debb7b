-- Claims the idempotency keys of one call and returns, for each key in the order
-- of keys, the job id that holds it: the one proposed in ids if the key was
-- free or its job finished more than 24 hours ago, else the winner's (P7).
-- Keys are taken in their own order, so two calls never deadlock; a key that a
-- transaction still holds is waited for, and taken if that rolls back.
CREATE OR REPLACE FUNCTION penstock.hold_keys(queue text, keys text[], ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    holders bigint[];
BEGIN
    -- The wait for another's key comes before the first write: a sweep must not take what
    -- is written then, with the time of before, for written later than it.
    PERFORM pg_current_xact_id();
    INSERT INTO idempotency_keys AS held (queue, key, job_id, until)
    SELECT hold_keys.queue, k.key, k.id, clock_timestamp() + interval '24 hours'
    FROM (SELECT DISTINCT ON (u.key) u.key, u.id FROM unnest(keys, ids) WITH ORDINALITY u(key, id, nth)
          WHERE u.key IS NOT NULL ORDER BY u.key, u.nth) k
    -- A key that is plainly held is not even locked.
    WHERE NOT EXISTS (SELECT FROM idempotency_keys h
                      WHERE h.queue = hold_keys.queue AND h.key = k.key AND h.until >= clock_timestamp())
    ON CONFLICT (queue, key) DO UPDATE SET job_id = excluded.job_id, until = excluded.until
        WHERE held.until < clock_timestamp()
          AND NOT EXISTS (SELECT FROM pending p WHERE p.job_id = held.job_id AND p.queue = held.queue)
          AND NOT EXISTS (SELECT FROM running r WHERE r.job_id = held.job_id AND r.queue = held.queue);
    -- A new statement, so it sees the winner that the one above waited for.
    SELECT array_agg(coalesce(held.job_id, u.id) ORDER BY u.nth) INTO holders
    FROM unnest(keys, ids) WITH ORDINALITY u(key, id, nth)
    LEFT JOIN idempotency_keys held ON held.queue = hold_keys.queue AND held.key = u.key;
    RETURN holders;
END $$;
