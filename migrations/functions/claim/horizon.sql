-- What the clock said before a snapshot was taken, the id that this transaction got after
-- it, and which transactions had not ended, ascending, of those below the highest that had;
-- and whether aging merges the queue's lanes, so that a full claim says nothing of the others.
CREATE OR REPLACE FUNCTION penstock.horizon(queue text, OUT at timestamptz, OUT own bigint, OUT under bigint[], OUT merged boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT now(), pg_current_xact_id()::text::bigint,
        ARRAY(SELECT x.id::text::bigint FROM pg_snapshot_xip(pg_current_snapshot()) x(id) ORDER BY x.id),
        coalesce((SELECT q.aging > 0 FROM queues q WHERE q.queue = horizon.queue), false)
$$;
