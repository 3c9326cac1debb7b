-- Returns what a sweep needs to know about transactions that may commit late. at is the
-- clock before the snapshot was taken; own the id that this transaction got after it; under
-- the ids of transactions that had not ended, ascending, below the highest that had. merged
-- is true if aging merges the queue's lanes: a full claim then says nothing about the others.
CREATE OR REPLACE FUNCTION penstock.horizon(queue text, OUT at timestamptz, OUT own bigint, OUT under bigint[], OUT merged boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT now(), pg_current_xact_id()::text::bigint,
        ARRAY(SELECT x.id::text::bigint FROM pg_snapshot_xip(pg_current_snapshot()) x(id) ORDER BY x.id),
        coalesce((SELECT q.aging > 0 FROM queues q WHERE q.queue = horizon.queue), false)
$$;
