-- Takes the idempotency keys of one call. It returns, in the order of keys, the id of the
-- job that holds each: the one proposed in ids if the key was free or its job finished more
-- than 24 hours ago, else the other's (P7).
-- Indexes: the primary key of idempotency_keys, and the keys (job_id, queue) of pending and
-- running. Locks: the rows of its keys, in the order of the keys, so two calls cannot
-- deadlock. It waits for a transaction that has a key, and takes the key if that rolls back.
CREATE OR REPLACE FUNCTION penstock.take_idempotency_keys(queue text, keys text[], ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    holders bigint[];
BEGIN
    -- The transaction gets its id before it waits for another's key. A sweep must not assume
    -- that rows written after the wait, with the time of before it, were written later.
    PERFORM pg_current_xact_id();
    INSERT INTO idempotency_keys AS held (queue, key, job_id, until)
    SELECT take_idempotency_keys.queue, k.key, k.id, clock_timestamp() + interval '24 hours'
    FROM (SELECT DISTINCT ON (u.key) u.key, u.id FROM unnest(keys, ids) WITH ORDINALITY u(key, id, nth)
          WHERE u.key IS NOT NULL ORDER BY u.key, u.nth) k
    -- A key that is certainly taken is not locked.
    WHERE NOT EXISTS (SELECT FROM idempotency_keys h
                      WHERE h.queue = take_idempotency_keys.queue AND h.key = k.key AND h.until >= clock_timestamp())
    ON CONFLICT (queue, key) DO UPDATE SET job_id = excluded.job_id, until = excluded.until
        WHERE held.until < clock_timestamp()
          AND NOT EXISTS (SELECT FROM pending p WHERE p.job_id = held.job_id AND p.queue = held.queue)
          AND NOT EXISTS (SELECT FROM running r WHERE r.job_id = held.job_id AND r.queue = held.queue);
    -- A new statement, so it sees the winner that the one above waited for.
    SELECT array_agg(coalesce(held.job_id, u.id) ORDER BY u.nth) INTO holders
    FROM unnest(keys, ids) WITH ORDINALITY u(key, id, nth)
    LEFT JOIN idempotency_keys held ON held.queue = take_idempotency_keys.queue AND held.key = u.key;
    RETURN holders;
END $$;
