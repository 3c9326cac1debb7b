-- Leases up to max_jobs due jobs of a queue to a worker: highest priority first, then by
-- run_at, then by id. Each gets the next attempt number and a deadline, from its own timeout
-- or default_timeout. A job past its expires_at ends as expired. A paused queue gives none.
-- Names whose circuit breaker is open wait, except for a probe. With aging, a job's weight
-- grows while it waits. An unknown worker gets PN410: it was buried and must register again.
--
-- The other arguments are the watermark. seen_* hold, by lane, the last key that this
-- fetcher took. since is a time before its last sweep, which read every lane from swept_from
-- up. With them a lane is read from just behind that key or time on. That skips dead index
-- entries, which vacuum cannot remove while a snapshot is held. Only a transaction that
-- committed late can add a row before that point; the next sweep without a watermark finds it.
--
-- Indexes: the primary keys of workers, queues, breaker_states, pending and jobs.
-- Locks: the claimed rows of pending, FOR UPDATE SKIP LOCKED, so claims never wait for each
-- other; what defer_for_breakers takes while a breaker is open.
CREATE OR REPLACE FUNCTION penstock.claim(queue text, worker_id bigint, max_jobs integer,
    default_timeout interval DEFAULT '5 minutes', since timestamptz DEFAULT NULL,
    swept_from smallint DEFAULT 1, seen_priorities smallint[] DEFAULT NULL, seen_run_ats timestamptz[] DEFAULT NULL, seen_ids bigint[] DEFAULT NULL)
RETURNS SETOF penstock.leases
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    timeout_default CONSTANT interval := make_interval(secs => extract(epoch FROM default_timeout)::float8);
    moment          CONSTANT timestamptz := now();
    room            integer := max_jobs;
    lane_order      smallint[];
    lane            smallint;
    place           integer;
    heads           tid[];
    got             integer;
    paused          boolean;
    aging           float8;
    shut            text[];
    probes          bigint[] := '{}';
BEGIN
    IF max_jobs IS NULL OR max_jobs NOT BETWEEN 1 AND 10000 THEN
        PERFORM refuse('max_jobs', '1 to 10000', max_jobs::text);
    ELSIF default_timeout IS NULL OR default_timeout <= interval '0' OR default_timeout > interval '36600 days' THEN
        PERFORM refuse('default_timeout', 'above 0 and at most 36600 days', default_timeout::text);
    ELSIF NOT EXISTS (SELECT FROM workers w WHERE w.id = claim.worker_id) THEN
        RAISE EXCEPTION 'worker % is not registered', coalesce(claim.worker_id::text, 'null')
            USING ERRCODE = 'PN410', HINT = 'It was buried or never registered: call register_worker.';
    END IF;
    SELECT q.paused, q.aging INTO paused, aging FROM queues q WHERE q.queue = claim.queue;
    IF paused THEN
        RETURN;
    END IF;
    SELECT array_agg(s.name) INTO shut FROM breaker_states s WHERE s.queue = claim.queue AND s.is_open;
    IF shut IS NOT NULL THEN
        probes := defer_for_breakers(claim.queue, max_jobs);
        IF probes <> '{}' THEN
            since := NULL; -- a probe may lie behind the watermark, and the next one is a cool-down away
        END IF;
    END IF;
    IF since IS NULL THEN
        lane_order := lanes(claim.queue);
    ELSE
        SELECT array_agg(l.priority ORDER BY l.priority DESC) INTO lane_order
        FROM (SELECT g::smallint AS priority, array_position(seen_priorities, g::smallint) AS place
              FROM generate_series(1, 100) g) l
        WHERE EXISTS (SELECT FROM pending p WHERE p.queue = claim.queue AND p.priority = l.priority
            AND p.run_at <= moment
            AND (p.run_at, p.job_id) > (coalesce(seen_run_ats[l.place],
                CASE WHEN l.priority >= swept_from THEN since ELSE '-infinity' END), coalesce(seen_ids[l.place], 0)));
    END IF;
    FOREACH lane IN ARRAY coalesce(lane_order, '{}') LOOP
        LOOP
            IF aging > 0 THEN
                heads := aged_heads(claim.queue, lane_order, moment, aging, since, swept_from, seen_priorities, seen_run_ats,
                    seen_ids, shut, probes, room);
            ELSE
                place := array_position(seen_priorities, lane);
                heads := lane_head(claim.queue, lane, moment, CASE WHEN since IS NULL THEN '-infinity'
                    WHEN place IS NOT NULL THEN seen_run_ats[place] WHEN lane >= swept_from THEN since ELSE '-infinity' END,
                    coalesce(seen_ids[place], 0), shut, probes, room);
            END IF;
            RETURN QUERY
            WITH claimed AS (
                DELETE FROM pending p WHERE p.ctid = ANY (heads) RETURNING p.*
            ), lapsed AS (
                INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
                SELECT c.job_id, c.attempt + 1, c.queue, c.name, c.priority, c.run_at, moment, 'expired'
                FROM claimed c WHERE c.expires_at <= moment
            ), tallied AS (
                INSERT INTO tallies (at, queue, name, outcome, jobs)
                SELECT moment, claim.queue, c.name, 'expired', count(*) FROM claimed c WHERE c.expires_at <= moment GROUP BY c.name
            ), leased AS (
                INSERT INTO running (job_id, queue, name, attempt, failures, crashes, priority, run_at, worker_id,
                    claimed_at, deadline)
                SELECT c.job_id, c.queue, c.name, c.attempt + 1, c.failures, c.crashes, c.priority, c.run_at,
                    claim.worker_id, moment, moment + coalesce(c.timeout, timeout_default)
                FROM claimed c WHERE c.expires_at IS NULL OR c.expires_at > moment
                RETURNING *
            )
            -- The queue comes from leased, not from the argument: with a constant the planner
            -- would scan all jobs of a queue instead of probing for each id.
            SELECT l.job_id, l.queue, l.name, l.attempt, l.failures, l.crashes, l.priority, l.run_at, l.claimed_at,
                l.deadline - l.claimed_at, j.enqueued_at, j.data, j.tags, j.origin_id, j.generation, j.trace_context
            FROM leased l JOIN jobs j ON j.id = l.job_id AND j.queue = l.queue
            ORDER BY CASE WHEN aging > 0 THEN l.run_at - make_interval(secs => l.priority / aging) ELSE l.run_at END, l.job_id;
            GET DIAGNOSTICS got = ROW_COUNT;
            room := room - got;
            -- If jobs had expired, the next ones of this lane come before any lower lane (P10).
            EXIT WHEN room <= 0 OR got = cardinality(heads);
        END LOOP;
        EXIT WHEN room <= 0 OR aging > 0;
    END LOOP;
END $$;
