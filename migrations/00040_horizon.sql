-- What a fetcher's sweeps need to know while a snapshot is held. Safe on a live database:
-- only functions are made and replaced.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- What the clock said before a snapshot was taken, the id that this transaction got after
-- it, and which transactions had not ended, ascending, of those below the highest that had;
-- and whether aging merges the queue's lanes, so that a full claim says nothing of the others.
CREATE FUNCTION penstock.horizon(queue text, OUT at timestamptz, OUT own bigint, OUT under bigint[], OUT merged boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT now(), pg_current_xact_id()::text::bigint,
        ARRAY(SELECT x.id::text::bigint FROM pg_snapshot_xip(pg_current_snapshot()) x(id) ORDER BY x.id),
        coalesce((SELECT q.aging > 0 FROM queues q WHERE q.queue = horizon.queue), false)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
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
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
-- +goose StatementBegin
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
-- +goose StatementEnd

DROP FUNCTION penstock.horizon(text);
