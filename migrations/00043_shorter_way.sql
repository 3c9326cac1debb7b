-- Enqueues look at fewer other tables, one job and small batches above all. Safe on a
-- live database: only functions are made and replaced.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- True while somebody sleeps for the queue (fall_asleep), or another asks the same just now.
-- One expression, which Postgres takes into the caller's.
CREATE FUNCTION penstock.sleeps(queue text) RETURNS boolean
LANGUAGE sql AS $$
    SELECT NOT (pg_try_advisory_lock(x'70656e73'::integer, hashtext(queue))
        AND pg_advisory_unlock(x'70656e73'::integer, hashtext(queue)))
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Notifies those who sleep for the queue, if anybody does, at most once in the session's window.
CREATE OR REPLACE FUNCTION penstock.wake(queue text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    mark CONSTANT text := 'penstock.woken_' || to_hex(hashtext(wake.queue));
    ms   CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF ms - coalesce(nullif(current_setting(mark, true), ''), '0')::bigint NOT BETWEEN 0 AND 4 AND penstock.sleeps(wake.queue) THEN
        PERFORM pg_notify('penstock', wake.queue);
        PERFORM set_config(mark, ms::text, false);
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The UTC day, in days since 1970, that new ids carry: today, or the newest day
-- before it that has a partition (nobody made newer ones), or the oldest there
-- is (the clock fell back). So enqueue never fails for want of a partition.
-- The session keeps in penstock.covered the minute in which today had one (day_at).
CREATE OR REPLACE FUNCTION penstock.job_day() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    minute CONSTANT integer := floor(extract(epoch FROM clock_timestamp()) / 60);
    today  CONSTANT integer := minute / 1440;
    day    integer;
BEGIN
    SELECT least(today, p.last_day) INTO day FROM penstock.partitions p WHERE p.first_day <= today ORDER BY p.first_day DESC LIMIT 1;
    IF day = today THEN
        PERFORM set_config('penstock.covered', minute::text, false);
    END IF;
    RETURN coalesce(day, (SELECT min(p.first_day) FROM penstock.partitions p));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- What job_day says, which is asked once a minute: so long a session relies on today's
-- partition, which somebody may have taken away. One expression, as sleeps.
CREATE FUNCTION penstock.day_at(moment timestamptz) RETURNS bigint
LANGUAGE sql AS $$
    SELECT CASE WHEN current_setting('penstock.covered', true) = floor(extract(epoch FROM moment) / 60)::text
        THEN floor(extract(epoch FROM moment) / 86400)::bigint ELSE penstock.job_day() END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The short way of enqueue_many, for one job that neither rules nor tags concern and whose
-- idempotency key is free, as most are that an application enqueues in its transactions; null
-- where it does not go, and enqueue_batch then decides, or says what is wrong. One row needs
-- no array executors, and each probe that is not made counts: of 16 sessions on two cores a
-- look at an empty table takes a job 10 µs longer.
CREATE OR REPLACE FUNCTION penstock.enqueue_one(queue text, name text, data jsonb, options jsonb, notify boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    asked  penstock.job_options;
    usual  smallint;
    moved  boolean; -- by a rule or a tag
    new_id bigint;
BEGIN
    IF (queue !~ '[^A-Za-z0-9._:/-]' AND length(queue) BETWEEN 1 AND 128 AND name !~ '[^A-Za-z0-9._:/-]'
        AND length(name) BETWEEN 1 AND 128 AND penstock.json_bytes(data) <= 1048576 AND data #> '{metadata,tags}' IS NULL) IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    asked.run_at := moment;
    IF options IS NOT NULL THEN
        asked := penstock.read_options(options, moment, 1);
    END IF;
    usual := asked.priority;
    IF usual IS NULL THEN
        SELECT coalesce((SELECT q.default_priority FROM penstock.queues q WHERE q.queue = enqueue_one.queue), 5),
            EXISTS (SELECT FROM penstock.priority_rules r WHERE r.queue = enqueue_one.queue)
        INTO usual, moved;
        IF asked.tags IS NOT NULL AND NOT moved THEN
            moved := EXISTS (SELECT FROM penstock.priority_tags t WHERE t.tag = ANY (asked.tags));
        END IF;
        IF moved THEN
            RETURN NULL;
        END IF;
    END IF;
    new_id := penstock.day_at(moment) * 100000000000 + nextval('penstock.job_sequence');
    IF asked.idempotency_key IS NOT NULL THEN
        PERFORM pg_current_xact_id(); -- before the wait for another's key, as in hold_keys
        INSERT INTO penstock.idempotency_keys (queue, key, job_id, until)
        SELECT enqueue_one.queue, asked.idempotency_key, new_id, clock_timestamp() + interval '24 hours'
        WHERE NOT EXISTS (SELECT FROM penstock.idempotency_keys h WHERE h.queue = enqueue_one.queue
                          AND h.key = asked.idempotency_key AND h.until >= clock_timestamp())
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO penstock.jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts, tags,
        retry, trace_context)
    VALUES (new_id, queue, name, data, moment, asked.expires_at, asked.timeout, asked.priority, asked.max_attempts,
        asked.tags, asked.retry, asked.trace_context);
    INSERT INTO penstock.pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
    VALUES (queue, usual, asked.run_at, new_id, name, 0, 0, 0, asked.expires_at, asked.timeout);
    INSERT INTO penstock.tallies (at, queue, outcome, jobs, later)
    VALUES (moment, queue, 'enqueued', 1, CASE WHEN asked.run_at > moment THEN 1 END);
    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND asked.run_at < moment + interval '1.5 seconds' AND penstock.sleeps(queue) THEN
        PERFORM penstock.wake(queue);
    END IF;
    RETURN new_id;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds jobs of one queue, all or none, and returns their ids in order; those of enqueue_many
-- that do not go its short way.
CREATE OR REPLACE FUNCTION penstock.enqueue_batch(queue text, names text[], data jsonb[], options jsonb[],
    notify boolean) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    jobs_asked CONSTANT integer := coalesce(cardinality(names), 0);
    moment     CONSTANT timestamptz := clock_timestamp();
    first_id   CONSTANT bigint := day_at(moment) * 100000000000;
    usual      smallint;
    ids        bigint[];
    keys       text[];
    holders    bigint[];
    asked      job_options[];
    weights    smallint[];
    soonest    timestamptz := moment;
    first_bad  bigint;
    bad        record;
    tagged     boolean; -- some by their data or options
    moved      boolean; -- some by a rule or a tag
    jobs_new   integer := jobs_asked;
    jobs_later integer;
BEGIN
    IF (enqueue_batch.queue !~ '[^A-Za-z0-9._:/-]' AND length(enqueue_batch.queue) BETWEEN 1 AND 128) IS NOT TRUE THEN
        PERFORM check_name('queue', enqueue_batch.queue);
    END IF;
    IF jobs_asked > 10000 THEN
        PERFORM refuse('names', 'at most 10000 jobs in a call', jobs_asked::text);
    ELSIF coalesce(cardinality(enqueue_batch.data), 0) <> jobs_asked THEN
        PERFORM refuse('data', 'as many as names', cardinality(enqueue_batch.data)::text);
    ELSIF cardinality(options) <> jobs_asked THEN
        PERFORM refuse('options', 'as many as names', cardinality(options)::text);
    ELSIF jobs_asked = 0 THEN
        RETURN '{}';
    END IF;
    SELECT bool_or(u.data #> '{metadata,tags}' IS NOT NULL), min(u.nth) FILTER (WHERE u.name IS NULL
            OR u.name ~ '[^A-Za-z0-9._:/-]' OR length(u.name) NOT BETWEEN 1 AND 128 OR coalesce(json_bytes(u.data), 1048577) > 1048576)
    INTO tagged, first_bad FROM unnest(names, enqueue_batch.data) WITH ORDINALITY u(name, data, nth);
    IF first_bad IS NOT NULL THEN
        SELECT u.name, u.data IS NULL AS empty, json_bytes(u.data) AS size INTO bad
        FROM unnest(names, enqueue_batch.data) WITH ORDINALITY u(name, data, nth) WHERE u.nth = first_bad;
        PERFORM check_name('name', bad.name, first_bad);
        PERFORM refuse('data', 'JSON of at most 1048576 bytes',
            CASE WHEN bad.empty THEN 'null' ELSE coalesce(bad.size || ' bytes', 'numbers of over 400 digits') END, first_bad);
    END IF;
    IF options IS NOT NULL THEN
        asked := ARRAY(SELECT read_options(coalesce(u.o, '{}'), moment, u.nth) FROM unnest(options) WITH ORDINALITY u(o, nth)
            ORDER BY u.nth);
        ids := ARRAY(SELECT first_id + nextval('job_sequence') FROM generate_series(1, jobs_asked));
        SELECT array_agg(a.idempotency_key ORDER BY a.nth), min(a.run_at), nullif(count(*) FILTER (WHERE a.run_at > moment), 0),
            bool_or(a.tags IS NOT NULL) OR tagged
        INTO keys, soonest, jobs_later, tagged
        FROM unnest(asked) WITH ORDINALITY a(priority, run_at, retry, max_attempts, timeout, expires_at, tags,
            idempotency_key, trace_context, nth);
        holders := ids;
        IF array_remove(keys, NULL) <> '{}' THEN
            holders := hold_keys(enqueue_batch.queue, keys, ids);
        END IF;
    END IF;
    SELECT coalesce((SELECT q.default_priority FROM queues q WHERE q.queue = enqueue_batch.queue), 5),
        EXISTS (SELECT FROM priority_rules r WHERE r.queue = enqueue_batch.queue)
    INTO usual, moved;
    -- Most tags shift nothing, and to find that out job by job is dear.
    IF tagged AND NOT moved THEN
        moved := EXISTS (SELECT FROM unnest(asked) a WHERE a.tags && ARRAY(SELECT t.tag FROM priority_tags t))
            OR EXISTS (SELECT FROM unnest(enqueue_batch.data) d
                       WHERE d #> '{metadata,tags}' ?| ARRAY(SELECT t.tag FROM priority_tags t));
    END IF;
    IF moved THEN
        PERFORM pg_current_xact_id(); -- before a wait for whoever changes the rules, as in hold_keys
        weights := decide_priorities(enqueue_batch.queue, enqueue_batch.data,
            ARRAY(SELECT nullif(nullif(o -> 'tags', '[]'), 'null') FROM unnest(options) o));
    END IF;

    IF options IS NULL THEN
        WITH asked AS MATERIALIZED (
            SELECT first_id + nextval('job_sequence') AS id, u.name, u.data, u.nth
            FROM unnest(names, enqueue_batch.data) WITH ORDINALITY u(name, data, nth)
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at)
            SELECT a.id, enqueue_batch.queue, a.name, a.data, moment FROM asked a
        ), waiting AS (
            INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes)
            SELECT enqueue_batch.queue, coalesce(weights[a.nth], usual), moment, a.id, a.name, 0, 0, 0
            FROM asked a
        )
        SELECT array_agg(a.id ORDER BY a.nth) INTO ids FROM asked a;
    ELSE
        WITH fresh AS MATERIALIZED (
            SELECT u.* FROM unnest(names, enqueue_batch.data, ids, holders, asked) WITH ORDINALITY AS u(name, data, id,
                holder, priority, run_at, retry, max_attempts, timeout, expires_at, tags, idempotency_key, trace_context, nth)
            WHERE u.id = u.holder
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts,
                tags, retry, trace_context)
            SELECT f.id, enqueue_batch.queue, f.name, f.data, moment, f.expires_at, f.timeout, f.priority,
                f.max_attempts, f.tags, f.retry, f.trace_context FROM fresh f
        )
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
        SELECT enqueue_batch.queue, coalesce(f.priority, weights[f.nth], usual), f.run_at, f.id, f.name, 0, 0, 0, f.expires_at,
            f.timeout FROM fresh f;
        GET DIAGNOSTICS jobs_new = ROW_COUNT; -- without those whose key was held
        ids := holders;
    END IF;

    IF jobs_new > 0 THEN
        INSERT INTO tallies (at, queue, outcome, jobs, later)
        VALUES (moment, enqueue_batch.queue, 'enqueued', jobs_new, jobs_later);
    END IF;

    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND soonest < moment + interval '1.5 seconds' AND sleeps(enqueue_batch.queue) THEN
        PERFORM wake(enqueue_batch.queue);
    END IF;
    RETURN ids;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Enqueues one job in the caller's transaction and returns its id. priority is a
-- weight 1-100 or a level's name; run_at and delay exclude each other; retry is
-- an object as check_retry describes; expires_in bounds the wait for a start.
CREATE OR REPLACE FUNCTION penstock.enqueue(queue text, name text, data jsonb DEFAULT '{}', priority text DEFAULT NULL,
    delay interval DEFAULT NULL, run_at timestamptz DEFAULT NULL, retry jsonb DEFAULT NULL, max_attempts integer DEFAULT NULL,
    timeout interval DEFAULT NULL, expires_in interval DEFAULT NULL, tags text[] DEFAULT NULL, idempotency_key text DEFAULT NULL,
    trace_context text DEFAULT NULL, notify boolean DEFAULT true) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    options jsonb;
BEGIN
    IF num_nonnulls(priority, delay, run_at, retry, max_attempts, timeout, expires_in, tags, idempotency_key, trace_context) > 0 THEN
        options := jsonb_strip_nulls(jsonb_build_object('priority', priority, 'delay', extract(epoch FROM delay) * 1000,
            'runAt', run_at, 'retryStrategy', retry, 'maxAttempts', max_attempts, 'timeout', extract(epoch FROM timeout) * 1000,
            'expiresIn', extract(epoch FROM expires_in) * 1000, 'tags', tags, 'idempotencyKey', idempotency_key,
            'traceContext', trace_context));
    END IF;
    RETURN coalesce(enqueue_one(queue, name, data, options, notify),
        (enqueue_batch(queue, ARRAY[name], ARRAY[data], CASE WHEN options IS NOT NULL THEN ARRAY[options] END, notify))[1]);
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
-- +goose StatementBegin
-- Enqueues one job in the caller's transaction and returns its id. priority is a
-- weight 1-100 or a level's name; run_at and delay exclude each other; retry is
-- an object as check_retry describes; expires_in bounds the wait for a start.
CREATE OR REPLACE FUNCTION penstock.enqueue(queue text, name text, data jsonb DEFAULT '{}', priority text DEFAULT NULL,
    delay interval DEFAULT NULL, run_at timestamptz DEFAULT NULL, retry jsonb DEFAULT NULL,
    max_attempts integer DEFAULT NULL, timeout interval DEFAULT NULL, expires_in interval DEFAULT NULL,
    tags text[] DEFAULT NULL, idempotency_key text DEFAULT NULL, trace_context text DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    options jsonb := jsonb_strip_nulls(jsonb_build_object('priority', priority, 'delay', extract(epoch FROM delay) * 1000,
        'runAt', run_at, 'retryStrategy', retry, 'maxAttempts', max_attempts, 'timeout', extract(epoch FROM timeout) * 1000,
        'expiresIn', extract(epoch FROM expires_in) * 1000, 'tags', tags, 'idempotencyKey', idempotency_key,
        'traceContext', trace_context));
BEGIN
    RETURN (enqueue_many(enqueue.queue, ARRAY[enqueue.name], ARRAY[enqueue.data],
        CASE WHEN options <> '{}' THEN ARRAY[options] END, enqueue.notify))[1];
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Adds jobs of one queue, all or none, and returns their ids in order; those of enqueue_many
-- that do not go its short way.
CREATE OR REPLACE FUNCTION penstock.enqueue_batch(queue text, names text[], data jsonb[], options jsonb[],
    notify boolean) RETURNS bigint[]
LANGUAGE plpgsql
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
    weights    smallint[];
    soonest    timestamptz := moment;
    bad        record;
    jobs_new   integer := jobs_asked;
    jobs_later integer;
BEGIN
    IF (enqueue_batch.queue !~ '[^A-Za-z0-9._:/-]' AND length(enqueue_batch.queue) BETWEEN 1 AND 128) IS NOT TRUE THEN
        PERFORM check_name('queue', enqueue_batch.queue);
    END IF;
    IF jobs_asked > 10000 THEN
        PERFORM refuse('names', 'at most 10000 jobs in a call', jobs_asked::text);
    ELSIF coalesce(cardinality(enqueue_batch.data), 0) <> jobs_asked THEN
        PERFORM refuse('data', 'as many as names', cardinality(enqueue_batch.data)::text);
    ELSIF cardinality(options) <> jobs_asked THEN
        PERFORM refuse('options', 'as many as names', cardinality(options)::text);
    ELSIF jobs_asked = 0 THEN
        RETURN '{}';
    END IF;
    SELECT u.name, u.nth, u.data IS NULL AS empty, json_bytes(u.data) AS size INTO bad
    FROM unnest(names, enqueue_batch.data) WITH ORDINALITY u(name, data, nth)
    WHERE u.name IS NULL OR u.name ~ '[^A-Za-z0-9._:/-]' OR length(u.name) NOT BETWEEN 1 AND 128
       OR coalesce(json_bytes(u.data), 1048577) > 1048576
    ORDER BY u.nth LIMIT 1;
    IF FOUND THEN
        PERFORM check_name('name', bad.name, bad.nth);
        PERFORM refuse('data', 'JSON of at most 1048576 bytes',
            CASE WHEN bad.empty THEN 'null' ELSE coalesce(bad.size || ' bytes', 'numbers of over 400 digits') END, bad.nth);
    END IF;
    SELECT coalesce((SELECT q.default_priority FROM queues q WHERE q.queue = enqueue_batch.queue), 5) INTO usual;
    IF options IS NOT NULL THEN
        asked := ARRAY(SELECT read_options(coalesce(u.o, '{}'), moment, u.nth) FROM unnest(options) WITH ORDINALITY u(o, nth)
            ORDER BY u.nth);
        ids := ARRAY(SELECT first_id + nextval('job_sequence') FROM generate_series(1, jobs_asked));
        SELECT array_agg(a.idempotency_key ORDER BY a.nth), min(a.run_at), nullif(count(*) FILTER (WHERE a.run_at > moment), 0)
        INTO keys, soonest, jobs_later
        FROM unnest(asked) WITH ORDINALITY a(priority, run_at, retry, max_attempts, timeout, expires_at, tags,
            idempotency_key, trace_context, nth);
        holders := ids;
        IF array_remove(keys, NULL) <> '{}' THEN
            holders := hold_keys(enqueue_batch.queue, keys, ids);
        END IF;
    END IF;
    -- Most tags shift nothing, and to find that out job by job is dear.
    IF EXISTS (SELECT FROM priority_rules r WHERE r.queue = enqueue_batch.queue)
        OR EXISTS (SELECT FROM unnest(asked) a WHERE a.tags && ARRAY(SELECT t.tag FROM priority_tags t))
        OR EXISTS (SELECT FROM unnest(enqueue_batch.data) d
                   WHERE d #> '{metadata,tags}' ?| ARRAY(SELECT t.tag FROM priority_tags t)) THEN
        PERFORM pg_current_xact_id(); -- before a wait for whoever changes the rules, as in hold_keys
        weights := decide_priorities(enqueue_batch.queue, enqueue_batch.data,
            ARRAY(SELECT nullif(nullif(o -> 'tags', '[]'), 'null') FROM unnest(options) o));
    END IF;

    IF options IS NULL THEN
        WITH asked AS MATERIALIZED (
            SELECT first_id + nextval('job_sequence') AS id, u.name, u.data, u.nth
            FROM unnest(names, enqueue_batch.data) WITH ORDINALITY u(name, data, nth)
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at)
            SELECT a.id, enqueue_batch.queue, a.name, a.data, moment FROM asked a
        ), waiting AS (
            INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes)
            SELECT enqueue_batch.queue, coalesce(weights[a.nth], usual), moment, a.id, a.name, 0, 0, 0
            FROM asked a
        )
        SELECT array_agg(a.id ORDER BY a.nth) INTO ids FROM asked a;
    ELSE
        WITH fresh AS MATERIALIZED (
            SELECT u.* FROM unnest(names, enqueue_batch.data, ids, holders, asked) WITH ORDINALITY AS u(name, data, id,
                holder, priority, run_at, retry, max_attempts, timeout, expires_at, tags, idempotency_key, trace_context, nth)
            WHERE u.id = u.holder
        ), kept AS (
            INSERT INTO jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts,
                tags, retry, trace_context)
            SELECT f.id, enqueue_batch.queue, f.name, f.data, moment, f.expires_at, f.timeout, f.priority,
                f.max_attempts, f.tags, f.retry, f.trace_context FROM fresh f
        )
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
        SELECT enqueue_batch.queue, coalesce(f.priority, weights[f.nth], usual), f.run_at, f.id, f.name, 0, 0, 0, f.expires_at,
            f.timeout FROM fresh f;
        GET DIAGNOSTICS jobs_new = ROW_COUNT; -- without those whose key was held
        ids := holders;
    END IF;

    IF jobs_new > 0 THEN
        INSERT INTO tallies (at, queue, outcome, jobs, later)
        VALUES (moment, enqueue_batch.queue, 'enqueued', jobs_new, jobs_later);
    END IF;

    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND soonest < moment + interval '1.5 seconds' THEN
        PERFORM wake(enqueue_batch.queue);
    END IF;
    RETURN ids;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The short way of enqueue_many, for one job that neither rules nor tags concern and whose
-- idempotency key is free, as most are that an application enqueues in its transactions; null
-- where it does not go, and enqueue_batch then decides, or says what is wrong. One row needs
-- no array executors and hardly a planner to pin: two thirds of a batch of one (90 of 130 µs),
-- half with a key.
CREATE OR REPLACE FUNCTION penstock.enqueue_one(queue text, name text, data jsonb, options jsonb, notify boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    today  CONSTANT integer := floor(extract(epoch FROM moment) / 86400);
    asked  penstock.job_options;
    usual  smallint;
    day    bigint;
    moved  boolean; -- by a rule or a tag
    new_id bigint;
BEGIN
    IF (queue !~ '[^A-Za-z0-9._:/-]' AND length(queue) BETWEEN 1 AND 128 AND name !~ '[^A-Za-z0-9._:/-]'
        AND length(name) BETWEEN 1 AND 128 AND penstock.json_bytes(data) <= 1048576 AND data #> '{metadata,tags}' IS NULL) IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    asked.run_at := moment;
    IF options IS NOT NULL THEN
        asked := penstock.read_options(options, moment, 1);
    END IF;
    SELECT coalesce(asked.priority, (SELECT q.default_priority FROM penstock.queues q WHERE q.queue = enqueue_one.queue), 5),
        (SELECT least(today, p.last_day) FROM penstock.partitions p WHERE p.first_day <= today
         ORDER BY p.first_day DESC LIMIT 1),
        asked.priority IS NULL AND (EXISTS (SELECT FROM penstock.priority_rules r WHERE r.queue = enqueue_one.queue)
            OR EXISTS (SELECT FROM penstock.priority_tags t WHERE t.tag = ANY (asked.tags)))
    INTO usual, day, moved;
    IF day IS NULL OR moved THEN
        RETURN NULL;
    END IF;
    new_id := day * 100000000000 + nextval('penstock.job_sequence');
    IF asked.idempotency_key IS NOT NULL THEN
        PERFORM pg_current_xact_id(); -- before the wait for another's key, as in hold_keys
        INSERT INTO penstock.idempotency_keys (queue, key, job_id, until)
        SELECT enqueue_one.queue, asked.idempotency_key, new_id, clock_timestamp() + interval '24 hours'
        WHERE NOT EXISTS (SELECT FROM penstock.idempotency_keys h WHERE h.queue = enqueue_one.queue
                          AND h.key = asked.idempotency_key AND h.until >= clock_timestamp())
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO penstock.jobs (id, queue, name, data, enqueued_at, expires_at, timeout, asked_priority, max_attempts, tags,
        retry, trace_context)
    VALUES (new_id, queue, name, data, moment, asked.expires_at, asked.timeout, asked.priority, asked.max_attempts,
        asked.tags, asked.retry, asked.trace_context);
    INSERT INTO penstock.pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, expires_at, timeout)
    VALUES (queue, usual, asked.run_at, new_id, name, 0, 0, 0, asked.expires_at, asked.timeout);
    INSERT INTO penstock.tallies (at, queue, outcome, jobs, later)
    VALUES (moment, queue, 'enqueued', 1, CASE WHEN asked.run_at > moment THEN 1 END);
    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND asked.run_at < moment + interval '1.5 seconds' THEN
        PERFORM penstock.wake(queue);
    END IF;
    RETURN new_id;
END $$;
-- +goose StatementEnd

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
-- Notifies those who sleep for the queue, if anybody does, at most once in the session's
-- window. As it was, in fewer expressions; its callers are definers that pin the path.
CREATE OR REPLACE FUNCTION penstock.wake(queue text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    channel CONSTANT integer := hashtext(wake.queue);
    mark    CONSTANT text := 'penstock.woken_' || to_hex(channel);
    ms      CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF ms - coalesce(nullif(current_setting(mark, true), ''), '0')::bigint BETWEEN 0 AND 4
        OR pg_try_advisory_lock(x'70656e73'::integer, channel) AND pg_advisory_unlock(x'70656e73'::integer, channel) THEN
        RETURN;
    END IF;
    PERFORM pg_notify('penstock', wake.queue);
    PERFORM set_config(mark, ms::text, false);
END $$;
-- +goose StatementEnd

-- An enqueue that is under way in another session fails for the lack of it, once.
DROP FUNCTION penstock.sleeps(text), penstock.day_at(timestamptz);
