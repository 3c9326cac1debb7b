-- The helpers that every enqueue, claim and sleep calls, in plpgsql: a function in
-- LANGUAGE sql that is not inlined is parsed and planned anew in every transaction
-- that calls it, where plpgsql keeps its plans for the session. Same signatures and
-- results. An empty claim takes 70 us instead of 290, an enqueue of 16 jobs 420 us
-- instead of 700 (one connection). Safe on a live database: only functions are replaced.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- The UTC day, in days since 1970, that new ids carry: today, or the newest day
-- before it that has a partition (nobody made newer ones), or the oldest there
-- is (the clock fell back). So enqueue never fails for want of a partition.
CREATE OR REPLACE FUNCTION penstock.job_day() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    today CONSTANT integer := floor(extract(epoch FROM clock_timestamp()) / 86400);
BEGIN
    RETURN coalesce(
        (SELECT least(today, p.last_day) FROM penstock.partitions p WHERE p.first_day <= today
         ORDER BY p.first_day DESC LIMIT 1),
        (SELECT min(p.first_day) FROM penstock.partitions p));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The lanes of a queue with a waiting job, highest first: one index probe each.
CREATE OR REPLACE FUNCTION penstock.lanes(queue text) RETURNS smallint[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found_lanes smallint[];
    lane        smallint := 32767;
BEGIN
    LOOP
        SELECT p.priority INTO lane FROM penstock.pending p WHERE p.queue = lanes.queue AND p.priority < lane
        ORDER BY p.priority DESC LIMIT 1;
        EXIT WHEN NOT found;
        found_lanes := found_lanes || lane;
    END LOOP;
    RETURN found_lanes;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- How long until the next waiting job of a queue falls due, null when none waits
-- for a later time. One probe per lane, however many wait; swept => false probes
-- all 100 lanes instead of looking for the lanes there are, which walks dead
-- index entries while a snapshot is held.
CREATE OR REPLACE FUNCTION penstock.next_due(queue text, swept boolean DEFAULT true) RETURNS interval
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    lane_order CONSTANT smallint[] := CASE WHEN swept THEN lanes(next_due.queue)
        ELSE ARRAY(SELECT generate_series(1, 100)::smallint) END;
BEGIN
    RETURN (SELECT min(d.run_at) - clock_timestamp()
        FROM unnest(lane_order) l(priority)
        CROSS JOIN LATERAL (SELECT p.run_at FROM pending p WHERE p.queue = next_due.queue AND p.priority = l.priority
            AND p.run_at > now() ORDER BY p.run_at LIMIT 1) d);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Marks the session as a sleeper of these queues: from now on enqueue notifies.
-- The session must LISTEN on penstock and look for work once more afterwards.
CREATE OR REPLACE FUNCTION penstock.fall_asleep(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(x'70656e73'::integer, hashtext(fall_asleep.queue));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.wake_up(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_unlock_shared(x'70656e73'::integer, hashtext(wake_up.queue));
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.job_day() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(
        (SELECT least(today.day, p.last_day) FROM penstock.partitions p WHERE p.first_day <= today.day
         ORDER BY p.first_day DESC LIMIT 1),
        (SELECT min(p.first_day) FROM penstock.partitions p))::bigint
    FROM (SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::integer AS day) today
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.lanes(queue text) RETURNS smallint[]
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE lane(priority) AS (
        SELECT (SELECT p.priority FROM penstock.pending p WHERE p.queue = lanes.queue
                ORDER BY p.priority DESC LIMIT 1)
        UNION ALL
        SELECT (SELECT p.priority FROM penstock.pending p WHERE p.queue = lanes.queue AND p.priority < l.priority
                ORDER BY p.priority DESC LIMIT 1)
        FROM lane l WHERE l.priority IS NOT NULL)
    SELECT array_agg(l.priority) FROM lane l WHERE l.priority IS NOT NULL
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.next_due(queue text, swept boolean DEFAULT true) RETURNS interval
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT min(d.run_at) - clock_timestamp()
    FROM unnest(CASE WHEN swept THEN lanes(next_due.queue)
        ELSE ARRAY(SELECT generate_series(1, 100)::smallint) END) l(priority)
    CROSS JOIN LATERAL (SELECT p.run_at FROM pending p WHERE p.queue = next_due.queue AND p.priority = l.priority
        AND p.run_at > now() ORDER BY p.run_at LIMIT 1) d
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.fall_asleep(queue text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT pg_advisory_lock_shared(x'70656e73'::integer, hashtext(fall_asleep.queue))
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.wake_up(queue text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT pg_advisory_unlock_shared(x'70656e73'::integer, hashtext(wake_up.queue))
$$;
-- +goose StatementEnd
