-- The other verbs that add jobs or end them count what they do as finish does.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- Enqueues jobs of one queue, all or none, and returns their ids in order.
-- names and data are of one length, 1 to 10,000 jobs; options, if given, holds
-- for each job null or an object as read_options describes. A job whose
-- idempotency key is held gets the holder's id and is not enqueued again.
-- notify => false leaves out the wake-up, for callers that PREPARE TRANSACTION.
CREATE OR REPLACE FUNCTION penstock.enqueue_many(queue text, names text[], data jsonb[], options jsonb[] DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    jobs_asked CONSTANT integer := coalesce(cardinality(names), 0);
    first_id   CONSTANT bigint := job_day() * 100000000000;
    moment     CONSTANT timestamptz := clock_timestamp();
    usual      smallint;
    ids        bigint[];
    keys       text[];
    holders    bigint[];
    asked      job_options[];
    decide     boolean := false;
    tagged     jsonb[];
    weights    smallint[];
    soonest    timestamptz := moment;
    bad        record;
    jobs_new   integer := jobs_asked;
BEGIN
    PERFORM check_name('queue', enqueue_many.queue);
    IF jobs_asked > 10000 THEN
        PERFORM refuse('names', 'at most 10000 jobs in a call', jobs_asked::text);
    ELSIF coalesce(cardinality(enqueue_many.data), 0) <> jobs_asked THEN
        PERFORM refuse('data', 'as many as names', cardinality(enqueue_many.data)::text);
    ELSIF cardinality(options) <> jobs_asked THEN
        PERFORM refuse('options', 'as many as names', cardinality(options)::text);
    ELSIF jobs_asked = 0 THEN
        RETURN '{}';
    END IF;
    FOR bad IN
        SELECT u.name, u.nth, u.data IS NULL AS empty, json_bytes(u.data) AS size
        FROM unnest(names, enqueue_many.data) WITH ORDINALITY u(name, data, nth)
        WHERE u.name IS NULL OR u.name ~ '[^A-Za-z0-9._:/-]' OR length(u.name) NOT BETWEEN 1 AND 128
           OR coalesce(json_bytes(u.data), 1048577) > 1048576
        ORDER BY u.nth LIMIT 1
    LOOP
        PERFORM check_name('name', bad.name, bad.nth);
        PERFORM refuse('data', 'JSON of at most 1048576 bytes',
            CASE WHEN bad.empty THEN 'null' ELSE coalesce(bad.size || ' bytes', 'numbers of over 400 digits') END, bad.nth);
    END LOOP;
    SELECT coalesce((SELECT q.default_priority FROM queues q WHERE q.queue = enqueue_many.queue), 5) INTO usual;
    IF options IS NOT NULL THEN
        tagged := ARRAY(SELECT nullif(nullif(o -> 'tags', '[]'), 'null') FROM unnest(options) o);
    END IF;
    IF EXISTS (SELECT FROM priority_rules r WHERE r.queue = enqueue_many.queue)
        OR EXISTS (SELECT FROM unnest(tagged) t WHERE t IS NOT NULL)
        OR EXISTS (SELECT FROM unnest(enqueue_many.data) d WHERE d #> '{metadata,tags}' IS NOT NULL) THEN
        decide := true;
    END IF;

    IF options IS NULL THEN
        IF decide THEN
            weights := decide_priorities(enqueue_many.queue, enqueue_many.data);
        END IF;
        WITH asked AS MATERIALIZED (
            SELECT first_id + nextval('job_sequence') AS id, u.name, u.data, u.nth
            FROM unnest(names, enqueue_many.data) WITH ORDINALITY u(name, data, nth)
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at)
            SELECT a.id, enqueue_many.queue, a.name, a.data, moment FROM asked a
        ), waiting AS (
            INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes)
            SELECT enqueue_many.queue, CASE WHEN decide THEN weights[a.nth] ELSE usual END, moment, a.id, a.name, 0, 0, 0
            FROM asked a
        )
        SELECT array_agg(a.id ORDER BY a.nth) INTO ids FROM asked a;
    ELSE
        SELECT array_agg(read_options(coalesce(u.o, '{}'), moment, u.nth) ORDER BY u.nth),
               array_agg(first_id + nextval('job_sequence') ORDER BY u.nth)
        INTO asked, ids FROM unnest(options) WITH ORDINALITY u(o, nth);
        SELECT array_agg(a.idempotency_key ORDER BY a.nth), min(a.run_at) INTO keys, soonest
        FROM unnest(asked) WITH ORDINALITY a(priority, run_at, retry, max_attempts, timeout, expires_at, tags,
            idempotency_key, trace_context, nth);
        holders := ids;
        IF array_remove(keys, NULL) <> '{}' THEN
            holders := hold_keys(enqueue_many.queue, keys, ids);
        END IF;
        IF decide THEN
            weights := decide_priorities(enqueue_many.queue, enqueue_many.data, tagged);
        END IF;
        WITH fresh AS MATERIALIZED (
            SELECT u.* FROM unnest(names, enqueue_many.data, ids, holders, asked) WITH ORDINALITY AS u(name, data, id,
                holder, priority, run_at, retry, max_attempts, timeout, expires_at, tags, idempotency_key, trace_context, nth)
            WHERE u.id = u.holder
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts,
                tags, retry, trace_context)
            SELECT f.id, enqueue_many.queue, f.name, f.data, moment, f.expires_at, f.timeout, f.priority,
                f.max_attempts, f.tags, f.retry, f.trace_context FROM fresh f
        )
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
        SELECT enqueue_many.queue, coalesce(f.priority, weights[f.nth], usual), f.run_at, f.id, f.name, 0, 0, 0, f.expires_at,
            f.timeout FROM fresh f;
        GET DIAGNOSTICS jobs_new = ROW_COUNT; -- without those whose key was held
        ids := holders;
    END IF;

    IF jobs_new > 0 THEN
        INSERT INTO tallies (at, queue, outcome, jobs) VALUES (moment, enqueue_many.queue, 'enqueued', jobs_new);
    END IF;

    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND soonest < moment + interval '1.5 seconds' THEN
        PERFORM wake(enqueue_many.queue);
    END IF;
    RETURN ids;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Leases up to max_jobs due jobs of a queue to a worker, highest priority first,
-- then by run_at, then by id. Each gets the next attempt number and a deadline of
-- its own timeout, else default_timeout, from now. A job past its expires_at ends
-- as expired instead. None are returned while the queue is paused. Names whose
-- circuit breaker is open wait, but for a probe. With aging, lanes are merged: a
-- job's weight grows while it waits. An unknown worker gets PN410: it was buried
-- and must register anew.
--
-- The rest is the watermark: seen_* hold for lanes the last key this fetcher took,
-- and since is a time before its last sweep, which covered every lane from
-- swept_from up. With them a lane is entered just behind that key or time, which
-- passes over index entries that died but cannot be cleaned while a snapshot is
-- held. Only a late commit can lie behind; the next plain sweep finds it.
CREATE OR REPLACE FUNCTION penstock.claim(queue text, worker_id bigint, max_jobs integer,
    default_timeout interval DEFAULT '5 minutes', since timestamptz DEFAULT NULL,
    swept_from smallint DEFAULT 1, seen_priorities smallint[] DEFAULT NULL, seen_run_ats timestamptz[] DEFAULT NULL, seen_ids bigint[] DEFAULT NULL)
RETURNS SETOF penstock.leases
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    usual      CONSTANT interval := make_interval(secs => extract(epoch FROM default_timeout)::float8);
    moment     CONSTANT timestamptz := now();
    room       integer := max_jobs;
    lane_order smallint[];
    lane       smallint;
    place      integer;
    heads      tid[];
    got        integer;
    paused     boolean;
    aging      float8;
    shut       text[];
    probes     bigint[] := '{}';
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
        probes := hold_back(claim.queue, max_jobs);
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
                    claim.worker_id, moment, moment + coalesce(c.timeout, usual)
                FROM claimed c WHERE c.expires_at IS NULL OR c.expires_at > moment
                RETURNING *
            )
            -- The queue comes from leased, not from the argument: with a constant the planner
            -- would rather scan all of a queue's jobs than probe for each id.
            SELECT l.job_id, l.queue, l.name, l.attempt, l.failures, l.crashes, l.priority, l.run_at, l.claimed_at,
                l.deadline - l.claimed_at, j.enqueued_at, j.data, j.tags, j.origin_id, j.generation, j.trace_context
            FROM leased l JOIN jobs j ON j.id = l.job_id AND j.queue = l.queue
            ORDER BY CASE WHEN aging > 0 THEN l.run_at - make_interval(secs => l.priority / aging) ELSE l.run_at END, l.job_id;
            GET DIAGNOSTICS got = ROW_COUNT;
            room := room - got;
            -- Where jobs had expired, the next of this lane come before any lower lane (P10).
            EXIT WHEN room <= 0 OR got = cardinality(heads);
        END LOOP;
        EXIT WHEN room <= 0 OR aging > 0;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Ends waiting jobs whose expires_at has passed, up to max_jobs; returns how many.
CREATE OR REPLACE FUNCTION penstock.expire_jobs(max_jobs integer DEFAULT 1000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT p.job_id, p.queue FROM penstock.pending p WHERE p.expires_at <= clock_timestamp()
        ORDER BY p.expires_at LIMIT max_jobs FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM penstock.pending p USING due d WHERE p.job_id = ANY (ARRAY[d.job_id]) AND p.queue = d.queue RETURNING p.*
    ), noted AS (
        INSERT INTO penstock.attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
        SELECT g.job_id, g.attempt + 1, g.queue, g.name, g.priority, g.run_at, clock_timestamp(), 'expired' FROM gone g
        RETURNING 1
    ), tallied AS (
        INSERT INTO penstock.tallies (at, queue, name, outcome, jobs)
        SELECT clock_timestamp(), g.queue, g.name, 'expired', count(*) FROM gone g GROUP BY g.queue, g.name
    )
    SELECT count(*)::integer FROM noted
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Cancels a job: a waiting one ends at once (cancelled), a running one is told
-- through its worker's heartbeat and ends as cancelled unless it completes first
-- (cancelling). Returns that word, finished when there was nothing left to
-- cancel, or null when no such job is known.
CREATE OR REPLACE FUNCTION penstock.cancel(job_id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    its_queue text := (SELECT j.queue FROM jobs j WHERE j.id = cancel.job_id);
    gone      pending;
BEGIN
    IF its_queue IS NULL THEN
        RETURN NULL;
    END IF;
    -- A job moves between pending and running while this looks for it; one statement
    -- that finds it in neither proves that it has finished.
    LOOP
        DELETE FROM pending p WHERE p.job_id = cancel.job_id AND p.queue = its_queue RETURNING p.* INTO gone;
        IF found THEN
            INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
            VALUES (gone.job_id, gone.attempt + 1, gone.queue, gone.name, gone.priority, gone.run_at,
                clock_timestamp(), 'cancelled');
            INSERT INTO tallies (at, queue, name, outcome, jobs) VALUES (clock_timestamp(), gone.queue, gone.name, 'cancelled', 1);
            RETURN 'cancelled';
        END IF;
        UPDATE running r SET cancel_requested = true WHERE r.job_id = cancel.job_id AND r.queue = its_queue;
        IF found THEN
            RETURN 'cancelling';
        END IF;
        EXIT WHEN NOT EXISTS (SELECT FROM pending p WHERE p.job_id = cancel.job_id AND p.queue = its_queue)
            AND NOT EXISTS (SELECT FROM running r WHERE r.job_id = cancel.job_id AND r.queue = its_queue);
    END LOOP;
    RETURN 'finished';
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Lays a waiting job in the dead letter queue by hand (reason manual), with a word
-- about why; true if it was waiting. It can be redriven, but not by itself.
CREATE OR REPLACE FUNCTION penstock.dead_letter(job_id bigint, message text DEFAULT '') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    word   CONSTANT text := left(coalesce(dead_letter.message, ''), 2000);
    gone   pending;
BEGIN
    DELETE FROM pending p
    WHERE p.job_id = dead_letter.job_id AND p.queue = (SELECT j.queue FROM jobs j WHERE j.id = dead_letter.job_id)
    RETURNING p.* INTO gone;
    IF NOT found THEN
        RETURN false;
    END IF;
    INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome, error_class, message, fingerprint)
    VALUES (gone.job_id, gone.attempt + 1, gone.queue, gone.name, gone.priority, gone.run_at, moment, 'failed', 'Manual',
        word, fingerprint('Manual', word));
    INSERT INTO tallies (at, queue, name, outcome, dead, jobs) VALUES (moment, gone.queue, gone.name, 'failed', true, 1);
    INSERT INTO dead_jobs (job_id, enqueued_at, failed_at, timeout, origin_id, attempt, failures, generation, crashes, priority,
        asked_priority, max_attempts, asked_max_attempts, can_retry, queue, name, reason, error_class, message, fingerprint,
        first_error, tags, retry, retry_strategy, trace_context, data)
    SELECT j.id, j.enqueued_at, moment, j.timeout, j.origin_id, gone.attempt + 1, gone.failures, j.generation, gone.crashes,
        gone.priority, j.asked_priority, p.max_attempts, j.max_attempts, true, j.queue, j.name, 'manual', 'Manual', word,
        fingerprint('Manual', word),
        coalesce((SELECT a.error_class || ': ' || coalesce(a.message, '') FROM attempts a WHERE a.job_id = j.id
            AND a.queue = j.queue AND a.error_class IS NOT NULL ORDER BY a.attempt LIMIT 1), 'Manual: ' || word),
        j.tags, j.retry, jsonb_build_object('type', p.strategy, 'delay', extract(epoch FROM p.delay) * 1000,
            'maxAttempts', p.max_attempts, 'backoffMultiplier', p.multiplier,
            'maxDelay', extract(epoch FROM p.max_delay) * 1000, 'jitter', p.jitter), j.trace_context, j.data
    FROM jobs j CROSS JOIN LATERAL effective_policy(j.queue, j.name, j.retry, j.max_attempts) p
    WHERE j.id = gone.job_id AND j.queue = gone.queue;
    PERFORM audit('jobs.dead_letter', gone.queue, NULL, jsonb_build_object('jobId', gone.job_id::text));
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Redrives dead jobs that are still dead by this attempt and whose generation is
-- below the cap: each becomes a new job with origin_id and generation + 1, due
-- now. Returns the new ids; entries somebody else holds are passed over. new_data
-- replaces the data, for a single entry.
CREATE OR REPLACE FUNCTION penstock.redrive_entries(ids bigint[], attempts integer[], cap integer DEFAULT 100,
    new_data jsonb DEFAULT NULL, redrive_id bigint DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    first_id CONSTANT bigint := job_day() * 100000000000;
    moment   CONSTANT timestamptz := clock_timestamp();
    who      CONSTANT text := actor();
    fresh    bigint[];
    queues   text[];
BEGIN
    WITH wanted AS MATERIALIZED (
        SELECT d.job_id, d.queue FROM unnest(ids, redrive_entries.attempts) u(job_id, attempt)
        JOIN dead_jobs d ON d.job_id = u.job_id AND d.attempt = u.attempt
        WHERE d.generation < cap
        ORDER BY d.job_id FOR UPDATE OF d SKIP LOCKED
    ), gone AS MATERIALIZED (
        DELETE FROM dead_jobs d USING wanted w WHERE d.job_id = w.job_id AND d.queue = w.queue RETURNING d.*
    ), again AS MATERIALIZED (
        SELECT first_id + nextval('job_sequence') AS id, g.* FROM gone g
    ), kept AS (
        INSERT INTO jobs (id, queue, name, data, enqueued_at, timeout, asked_priority, max_attempts, tags, retry,
            trace_context, origin_id, generation)
        SELECT a.id, a.queue, a.name, coalesce(new_data, a.data), moment, a.timeout, a.asked_priority,
            a.asked_max_attempts, a.tags, a.retry, a.trace_context, a.job_id, a.generation + 1 FROM again a
    ), waiting AS (
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, timeout)
        SELECT a.queue, a.priority, moment, a.id, a.name, 0, 0, 0, a.timeout FROM again a
    ), noted AS (
        INSERT INTO departures (job_id, departed_at, new_job_id, redrive_id, attempt, queue, how, actor)
        SELECT a.job_id, moment, a.id, redrive_entries.redrive_id, a.attempt, a.queue, 'redriven', who FROM again a
    ), tallied AS (
        INSERT INTO tallies (at, queue, outcome, jobs) SELECT moment, a.queue, 'enqueued', count(*) FROM again a GROUP BY a.queue
    )
    SELECT array_agg(a.id ORDER BY a.id), array_agg(DISTINCT a.queue) INTO fresh, queues FROM again a;
    PERFORM wake(q) FROM unnest(queues) q;
    RETURN coalesce(fresh, '{}');
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.enqueue_many(queue text, names text[], data jsonb[], options jsonb[] DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    jobs_asked CONSTANT integer := coalesce(cardinality(names), 0);
    first_id   CONSTANT bigint := job_day() * 100000000000;
    moment     CONSTANT timestamptz := clock_timestamp();
    usual      smallint;
    ids        bigint[];
    keys       text[];
    holders    bigint[];
    asked      job_options[];
    decide     boolean := false;
    tagged     jsonb[];
    weights    smallint[];
    soonest    timestamptz := moment;
    bad        record;
BEGIN
    PERFORM check_name('queue', enqueue_many.queue);
    IF jobs_asked > 10000 THEN
        PERFORM refuse('names', 'at most 10000 jobs in a call', jobs_asked::text);
    ELSIF coalesce(cardinality(enqueue_many.data), 0) <> jobs_asked THEN
        PERFORM refuse('data', 'as many as names', cardinality(enqueue_many.data)::text);
    ELSIF cardinality(options) <> jobs_asked THEN
        PERFORM refuse('options', 'as many as names', cardinality(options)::text);
    ELSIF jobs_asked = 0 THEN
        RETURN '{}';
    END IF;
    FOR bad IN
        SELECT u.name, u.nth, u.data IS NULL AS empty, json_bytes(u.data) AS size
        FROM unnest(names, enqueue_many.data) WITH ORDINALITY u(name, data, nth)
        WHERE u.name IS NULL OR u.name ~ '[^A-Za-z0-9._:/-]' OR length(u.name) NOT BETWEEN 1 AND 128
           OR coalesce(json_bytes(u.data), 1048577) > 1048576
        ORDER BY u.nth LIMIT 1
    LOOP
        PERFORM check_name('name', bad.name, bad.nth);
        PERFORM refuse('data', 'JSON of at most 1048576 bytes',
            CASE WHEN bad.empty THEN 'null' ELSE coalesce(bad.size || ' bytes', 'numbers of over 400 digits') END, bad.nth);
    END LOOP;
    SELECT coalesce((SELECT q.default_priority FROM queues q WHERE q.queue = enqueue_many.queue), 5) INTO usual;
    IF options IS NOT NULL THEN
        tagged := ARRAY(SELECT nullif(nullif(o -> 'tags', '[]'), 'null') FROM unnest(options) o);
    END IF;
    IF EXISTS (SELECT FROM priority_rules r WHERE r.queue = enqueue_many.queue)
        OR EXISTS (SELECT FROM unnest(tagged) t WHERE t IS NOT NULL)
        OR EXISTS (SELECT FROM unnest(enqueue_many.data) d WHERE d #> '{metadata,tags}' IS NOT NULL) THEN
        decide := true;
    END IF;

    IF options IS NULL THEN
        IF decide THEN
            weights := decide_priorities(enqueue_many.queue, enqueue_many.data);
        END IF;
        WITH asked AS MATERIALIZED (
            SELECT first_id + nextval('job_sequence') AS id, u.name, u.data, u.nth
            FROM unnest(names, enqueue_many.data) WITH ORDINALITY u(name, data, nth)
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at)
            SELECT a.id, enqueue_many.queue, a.name, a.data, moment FROM asked a
        ), waiting AS (
            INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes)
            SELECT enqueue_many.queue, CASE WHEN decide THEN weights[a.nth] ELSE usual END, moment, a.id, a.name, 0, 0, 0
            FROM asked a
        )
        SELECT array_agg(a.id ORDER BY a.nth) INTO ids FROM asked a;
    ELSE
        SELECT array_agg(read_options(coalesce(u.o, '{}'), moment, u.nth) ORDER BY u.nth),
               array_agg(first_id + nextval('job_sequence') ORDER BY u.nth)
        INTO asked, ids FROM unnest(options) WITH ORDINALITY u(o, nth);
        SELECT array_agg(a.idempotency_key ORDER BY a.nth), min(a.run_at) INTO keys, soonest
        FROM unnest(asked) WITH ORDINALITY a(priority, run_at, retry, max_attempts, timeout, expires_at, tags,
            idempotency_key, trace_context, nth);
        holders := ids;
        IF array_remove(keys, NULL) <> '{}' THEN
            holders := hold_keys(enqueue_many.queue, keys, ids);
        END IF;
        IF decide THEN
            weights := decide_priorities(enqueue_many.queue, enqueue_many.data, tagged);
        END IF;
        WITH fresh AS MATERIALIZED (
            SELECT u.* FROM unnest(names, enqueue_many.data, ids, holders, asked) WITH ORDINALITY AS u(name, data, id,
                holder, priority, run_at, retry, max_attempts, timeout, expires_at, tags, idempotency_key, trace_context, nth)
            WHERE u.id = u.holder
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts,
                tags, retry, trace_context)
            SELECT f.id, enqueue_many.queue, f.name, f.data, moment, f.expires_at, f.timeout, f.priority,
                f.max_attempts, f.tags, f.retry, f.trace_context FROM fresh f
        )
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
        SELECT enqueue_many.queue, coalesce(f.priority, weights[f.nth], usual), f.run_at, f.id, f.name, 0, 0, 0, f.expires_at,
            f.timeout FROM fresh f;
        ids := holders;
    END IF;

    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND soonest < moment + interval '1.5 seconds' THEN
        PERFORM wake(enqueue_many.queue);
    END IF;
    RETURN ids;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.claim(queue text, worker_id bigint, max_jobs integer,
    default_timeout interval DEFAULT '5 minutes', since timestamptz DEFAULT NULL,
    swept_from smallint DEFAULT 1, seen_priorities smallint[] DEFAULT NULL, seen_run_ats timestamptz[] DEFAULT NULL, seen_ids bigint[] DEFAULT NULL)
RETURNS SETOF penstock.leases
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    usual      CONSTANT interval := make_interval(secs => extract(epoch FROM default_timeout)::float8);
    moment     CONSTANT timestamptz := now();
    room       integer := max_jobs;
    lane_order smallint[];
    lane       smallint;
    place      integer;
    heads      tid[];
    got        integer;
    paused     boolean;
    aging      float8;
    shut       text[];
    probes     bigint[] := '{}';
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
        probes := hold_back(claim.queue, max_jobs);
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
            ), leased AS (
                INSERT INTO running (job_id, queue, name, attempt, failures, crashes, priority, run_at, worker_id,
                    claimed_at, deadline)
                SELECT c.job_id, c.queue, c.name, c.attempt + 1, c.failures, c.crashes, c.priority, c.run_at,
                    claim.worker_id, moment, moment + coalesce(c.timeout, usual)
                FROM claimed c WHERE c.expires_at IS NULL OR c.expires_at > moment
                RETURNING *
            )
            -- The queue comes from leased, not from the argument: with a constant the planner
            -- would rather scan all of a queue's jobs than probe for each id.
            SELECT l.job_id, l.queue, l.name, l.attempt, l.failures, l.crashes, l.priority, l.run_at, l.claimed_at,
                l.deadline - l.claimed_at, j.enqueued_at, j.data, j.tags, j.origin_id, j.generation, j.trace_context
            FROM leased l JOIN jobs j ON j.id = l.job_id AND j.queue = l.queue
            ORDER BY CASE WHEN aging > 0 THEN l.run_at - make_interval(secs => l.priority / aging) ELSE l.run_at END, l.job_id;
            GET DIAGNOSTICS got = ROW_COUNT;
            room := room - got;
            -- Where jobs had expired, the next of this lane come before any lower lane (P10).
            EXIT WHEN room <= 0 OR got = cardinality(heads);
        END LOOP;
        EXIT WHEN room <= 0 OR aging > 0;
    END LOOP;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.expire_jobs(max_jobs integer DEFAULT 1000) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT p.job_id, p.queue FROM penstock.pending p WHERE p.expires_at <= clock_timestamp()
        ORDER BY p.expires_at LIMIT max_jobs FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM penstock.pending p USING due d WHERE p.job_id = ANY (ARRAY[d.job_id]) AND p.queue = d.queue RETURNING p.*
    ), noted AS (
        INSERT INTO penstock.attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
        SELECT g.job_id, g.attempt + 1, g.queue, g.name, g.priority, g.run_at, clock_timestamp(), 'expired' FROM gone g
        RETURNING 1
    )
    SELECT count(*)::integer FROM noted
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.cancel(job_id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    its_queue text := (SELECT j.queue FROM jobs j WHERE j.id = cancel.job_id);
    gone      pending;
BEGIN
    IF its_queue IS NULL THEN
        RETURN NULL;
    END IF;
    -- A job moves between pending and running while this looks for it; one statement
    -- that finds it in neither proves that it has finished.
    LOOP
        DELETE FROM pending p WHERE p.job_id = cancel.job_id AND p.queue = its_queue RETURNING p.* INTO gone;
        IF found THEN
            INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
            VALUES (gone.job_id, gone.attempt + 1, gone.queue, gone.name, gone.priority, gone.run_at,
                clock_timestamp(), 'cancelled');
            RETURN 'cancelled';
        END IF;
        UPDATE running r SET cancel_requested = true WHERE r.job_id = cancel.job_id AND r.queue = its_queue;
        IF found THEN
            RETURN 'cancelling';
        END IF;
        EXIT WHEN NOT EXISTS (SELECT FROM pending p WHERE p.job_id = cancel.job_id AND p.queue = its_queue)
            AND NOT EXISTS (SELECT FROM running r WHERE r.job_id = cancel.job_id AND r.queue = its_queue);
    END LOOP;
    RETURN 'finished';
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.dead_letter(job_id bigint, message text DEFAULT '') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    word   CONSTANT text := left(coalesce(dead_letter.message, ''), 2000);
    gone   pending;
BEGIN
    DELETE FROM pending p
    WHERE p.job_id = dead_letter.job_id AND p.queue = (SELECT j.queue FROM jobs j WHERE j.id = dead_letter.job_id)
    RETURNING p.* INTO gone;
    IF NOT found THEN
        RETURN false;
    END IF;
    INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome, error_class, message, fingerprint)
    VALUES (gone.job_id, gone.attempt + 1, gone.queue, gone.name, gone.priority, gone.run_at, moment, 'failed', 'Manual',
        word, fingerprint('Manual', word));
    INSERT INTO dead_jobs (job_id, enqueued_at, failed_at, timeout, origin_id, attempt, failures, generation, crashes, priority,
        asked_priority, max_attempts, asked_max_attempts, can_retry, queue, name, reason, error_class, message, fingerprint,
        first_error, tags, retry, retry_strategy, trace_context, data)
    SELECT j.id, j.enqueued_at, moment, j.timeout, j.origin_id, gone.attempt + 1, gone.failures, j.generation, gone.crashes,
        gone.priority, j.asked_priority, p.max_attempts, j.max_attempts, true, j.queue, j.name, 'manual', 'Manual', word,
        fingerprint('Manual', word),
        coalesce((SELECT a.error_class || ': ' || coalesce(a.message, '') FROM attempts a WHERE a.job_id = j.id
            AND a.queue = j.queue AND a.error_class IS NOT NULL ORDER BY a.attempt LIMIT 1), 'Manual: ' || word),
        j.tags, j.retry, jsonb_build_object('type', p.strategy, 'delay', extract(epoch FROM p.delay) * 1000,
            'maxAttempts', p.max_attempts, 'backoffMultiplier', p.multiplier,
            'maxDelay', extract(epoch FROM p.max_delay) * 1000, 'jitter', p.jitter), j.trace_context, j.data
    FROM jobs j CROSS JOIN LATERAL effective_policy(j.queue, j.name, j.retry, j.max_attempts) p
    WHERE j.id = gone.job_id AND j.queue = gone.queue;
    PERFORM audit('jobs.dead_letter', gone.queue, NULL, jsonb_build_object('jobId', gone.job_id::text));
    RETURN true;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.redrive_entries(ids bigint[], attempts integer[], cap integer DEFAULT 100,
    new_data jsonb DEFAULT NULL, redrive_id bigint DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    first_id CONSTANT bigint := job_day() * 100000000000;
    moment   CONSTANT timestamptz := clock_timestamp();
    who      CONSTANT text := actor();
    fresh    bigint[];
    queues   text[];
BEGIN
    WITH wanted AS MATERIALIZED (
        SELECT d.job_id, d.queue FROM unnest(ids, redrive_entries.attempts) u(job_id, attempt)
        JOIN dead_jobs d ON d.job_id = u.job_id AND d.attempt = u.attempt
        WHERE d.generation < cap
        ORDER BY d.job_id FOR UPDATE OF d SKIP LOCKED
    ), gone AS MATERIALIZED (
        DELETE FROM dead_jobs d USING wanted w WHERE d.job_id = w.job_id AND d.queue = w.queue RETURNING d.*
    ), again AS MATERIALIZED (
        SELECT first_id + nextval('job_sequence') AS id, g.* FROM gone g
    ), kept AS (
        INSERT INTO jobs (id, queue, name, data, enqueued_at, timeout, asked_priority, max_attempts, tags, retry,
            trace_context, origin_id, generation)
        SELECT a.id, a.queue, a.name, coalesce(new_data, a.data), moment, a.timeout, a.asked_priority,
            a.asked_max_attempts, a.tags, a.retry, a.trace_context, a.job_id, a.generation + 1 FROM again a
    ), waiting AS (
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, timeout)
        SELECT a.queue, a.priority, moment, a.id, a.name, 0, 0, 0, a.timeout FROM again a
    ), noted AS (
        INSERT INTO departures (job_id, departed_at, new_job_id, redrive_id, attempt, queue, how, actor)
        SELECT a.job_id, moment, a.id, redrive_entries.redrive_id, a.attempt, a.queue, 'redriven', who FROM again a
    )
    SELECT array_agg(a.id ORDER BY a.id), array_agg(DISTINCT a.queue) INTO fresh, queues FROM again a;
    PERFORM wake(q) FROM unnest(queues) q;
    RETURN coalesce(fresh, '{}');
END $$;
-- +goose StatementEnd
