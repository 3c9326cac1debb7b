-- Enqueues that cost less: one job goes a short way, options are asked of what is there
-- only, and tags that shift no weight are no longer looked into. Safe on a live database:
-- only functions are made and replaced.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
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

-- +goose StatementBegin
-- Reads and checks one job's options: priority, delay (ms), runAt, retryStrategy,
-- maxAttempts, timeout (ms), expiresIn (ms), tags, idempotencyKey, traceContext. What is
-- not there is not asked for: most jobs bring one of them, and 10,000 come in a call.
CREATE OR REPLACE FUNCTION penstock.read_options(options jsonb, moment timestamptz, job bigint) RETURNS penstock.job_options
LANGUAGE plpgsql STABLE AS $$
DECLARE
    o     penstock.job_options;
    odd   text;
    delay interval;
    word  text := options ->> 'priority';
    due   text := options ->> 'runAt';
    named boolean;
BEGIN
    IF jsonb_typeof(options) <> 'object' THEN
        PERFORM penstock.refuse('options', 'a JSON object', jsonb_typeof(options), job);
    ELSIF pg_column_size(options) > 128 AND coalesce(penstock.json_bytes(options), 1048577) > 1048576 THEN
        PERFORM penstock.refuse('options', 'JSON of at most 1048576 bytes', 'more', job);
    ELSIF options - '{priority,delay,runAt,retryStrategy,maxAttempts,timeout,expiresIn,tags,idempotencyKey,traceContext}'::text[]
            <> '{}' THEN
        SELECT k INTO odd FROM jsonb_object_keys(options) k WHERE k NOT IN ('priority', 'delay', 'runAt',
            'retryStrategy', 'maxAttempts', 'timeout', 'expiresIn', 'tags', 'idempotencyKey', 'traceContext');
        PERFORM penstock.refuse('options', 'of priority, delay, runAt, retryStrategy, maxAttempts, timeout, expiresIn, '
            || 'tags, idempotencyKey, traceContext', odd, job);
    END IF;
    IF word ~ '^[1-9]\d?$' THEN
        o.priority := word;
    ELSIF word IS NOT NULL THEN
        o.priority := penstock.priority_weight(options -> 'priority', job);
    END IF;
    IF options ? 'delay' THEN
        delay := penstock.read_milliseconds('delay', options -> 'delay', 0, job);
    END IF;
    IF due IS NOT NULL THEN
        IF delay IS NOT NULL THEN
            PERFORM penstock.refuse('run_at', 'left out when delay is given', due, job);
        END IF;
        BEGIN
            o.run_at := due::timestamptz;
        EXCEPTION WHEN data_exception THEN
            PERFORM penstock.refuse('run_at', 'a timestamp such as 2026-01-31T12:00:00Z', due, job);
        END;
        IF o.run_at > moment + interval '100 years' THEN
            PERFORM penstock.refuse('run_at', 'at most 100 years ahead', due, job);
        END IF;
    END IF;
    -- Nothing is written to pending behind the clock: claims rely on it (watermark).
    o.run_at := greatest(coalesce(o.run_at, moment + delay), moment);
    IF options -> 'maxAttempts' <> 'null' THEN
        IF (options ->> 'maxAttempts') !~ '^\d{1,3}$' OR (options ->> 'maxAttempts')::integer NOT BETWEEN 1 AND 100 THEN
            PERFORM penstock.refuse('max_attempts', 'a whole number from 1 to 100', options ->> 'maxAttempts', job);
        END IF;
        o.max_attempts := options ->> 'maxAttempts';
    END IF;
    IF options ? 'retryStrategy' THEN
        o.retry := penstock.check_retry(nullif(options -> 'retryStrategy', 'null'), job);
    END IF;
    IF options ? 'timeout' THEN
        o.timeout := penstock.read_milliseconds('timeout', options -> 'timeout', 1, job);
    END IF;
    IF options ? 'expiresIn' THEN
        o.expires_at := moment + penstock.read_milliseconds('expires_in', options -> 'expiresIn', 1, job);
    END IF;
    IF options -> 'tags' NOT IN ('null', '[]') THEN
        IF jsonb_typeof(options -> 'tags') <> 'array' OR jsonb_array_length(options -> 'tags') > 32 THEN
            PERFORM penstock.refuse('tags', 'a list of at most 32 tags', options ->> 'tags', job);
        END IF;
        SELECT array_agg(t), bool_and((t !~ '[^A-Za-z0-9._:/-]' AND length(t) BETWEEN 1 AND 128) IS TRUE)
        INTO o.tags, named FROM jsonb_array_elements_text(options -> 'tags') t;
        IF NOT named THEN
            PERFORM penstock.check_name('tags', t, job) FROM unnest(o.tags) t;
        END IF;
    END IF;
    IF options ? 'idempotencyKey' THEN
        o.idempotency_key := options ->> 'idempotencyKey';
        IF length(o.idempotency_key) NOT BETWEEN 1 AND 256 THEN
            PERFORM penstock.refuse('idempotency_key', '1 to 256 characters', o.idempotency_key, job);
        END IF;
    END IF;
    IF options ? 'traceContext' THEN
        o.trace_context := options ->> 'traceContext';
        IF length(o.trace_context) NOT BETWEEN 1 AND 1024 THEN
            PERFORM penstock.refuse('trace_context', '1 to 1024 characters', o.trace_context, job);
        END IF;
    END IF;
    RETURN o;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The short way of enqueue_many, for one job that neither rules nor tags concern and whose
-- idempotency key is free, as most are that an application enqueues in its transactions; null
-- where it does not go, and enqueue_batch then decides, or says what is wrong. One row needs
-- no array executors and hardly a planner to pin: two thirds of a batch of one (90 of 130 µs),
-- half with a key.
CREATE FUNCTION penstock.enqueue_one(queue text, name text, data jsonb, options jsonb, notify boolean) RETURNS bigint
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
-- Adds jobs of one queue, all or none, and returns their ids in order; those of enqueue_many
-- that do not go its short way.
CREATE FUNCTION penstock.enqueue_batch(queue text, names text[], data jsonb[], options jsonb[],
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
-- Adds jobs of one queue, all or none, and returns their ids in order; a job whose
-- idempotency key is held gives its holder's.
CREATE OR REPLACE FUNCTION penstock.enqueue_many(queue text, names text[], data jsonb[], options jsonb[] DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    id bigint;
BEGIN
    -- An array of other bounds or dimensions has nothing at 1 either, and is the batch's to read.
    IF cardinality(names) = 1 AND cardinality(data) = 1
        AND (options IS NULL OR cardinality(options) = 1 AND options[1] IS NOT NULL) THEN
        id := enqueue_one(queue, names[1], data[1], options[1], notify);
        IF id IS NOT NULL THEN
            RETURN ARRAY[id];
        END IF;
    END IF;
    RETURN enqueue_batch(queue, names, data, options, notify);
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

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
    jobs_new   integer := jobs_asked;
    jobs_later integer;
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
        SELECT array_agg(a.idempotency_key ORDER BY a.nth), min(a.run_at), nullif(count(*) FILTER (WHERE a.run_at > moment), 0)
        INTO keys, soonest, jobs_later
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
        INSERT INTO tallies (at, queue, outcome, jobs, later)
        VALUES (moment, enqueue_many.queue, 'enqueued', jobs_new, jobs_later);
    END IF;

    -- A fetcher looks at least once a second at when its next job falls due.
    IF notify AND soonest < moment + interval '1.5 seconds' THEN
        PERFORM wake(enqueue_many.queue);
    END IF;
    RETURN ids;
END $$;
-- +goose StatementEnd

DROP FUNCTION penstock.enqueue_batch(text, text[], jsonb[], jsonb[], boolean), penstock.enqueue_one(text, text, jsonb, jsonb, boolean);

-- +goose StatementBegin
-- Reads and checks one job's options: priority, delay (ms), runAt, retryStrategy,
-- maxAttempts, timeout (ms), expiresIn (ms), tags, idempotencyKey, traceContext.
CREATE OR REPLACE FUNCTION penstock.read_options(options jsonb, moment timestamptz, job bigint) RETURNS penstock.job_options
LANGUAGE plpgsql STABLE AS $$
DECLARE
    o     penstock.job_options;
    odd   text;
    delay interval;
    due   text := options ->> 'runAt';
BEGIN
    IF jsonb_typeof(options) <> 'object' THEN
        PERFORM penstock.refuse('options', 'a JSON object', jsonb_typeof(options), job);
    ELSIF coalesce(penstock.json_bytes(options), 1048577) > 1048576 THEN
        PERFORM penstock.refuse('options', 'JSON of at most 1048576 bytes', 'more', job);
    END IF;
    SELECT k INTO odd FROM jsonb_object_keys(options) k WHERE k NOT IN ('priority', 'delay', 'runAt',
        'retryStrategy', 'maxAttempts', 'timeout', 'expiresIn', 'tags', 'idempotencyKey', 'traceContext');
    IF odd IS NOT NULL THEN
        PERFORM penstock.refuse('options', 'of priority, delay, runAt, retryStrategy, maxAttempts, timeout, expiresIn, '
            || 'tags, idempotencyKey, traceContext', odd, job);
    END IF;
    o.priority := penstock.priority_weight(options -> 'priority', job);
    delay := penstock.read_milliseconds('delay', options -> 'delay', 0, job);
    IF due IS NOT NULL THEN
        IF delay IS NOT NULL THEN
            PERFORM penstock.refuse('run_at', 'left out when delay is given', due, job);
        END IF;
        BEGIN
            o.run_at := due::timestamptz;
        EXCEPTION WHEN data_exception THEN
            PERFORM penstock.refuse('run_at', 'a timestamp such as 2026-01-31T12:00:00Z', due, job);
        END;
        IF o.run_at > moment + interval '100 years' THEN
            PERFORM penstock.refuse('run_at', 'at most 100 years ahead', due, job);
        END IF;
    END IF;
    -- Nothing is written to pending behind the clock: claims rely on it (watermark).
    o.run_at := greatest(coalesce(o.run_at, moment + delay), moment);
    IF options -> 'maxAttempts' <> 'null' THEN
        IF (options ->> 'maxAttempts') !~ '^\d{1,3}$' OR (options ->> 'maxAttempts')::integer NOT BETWEEN 1 AND 100 THEN
            PERFORM penstock.refuse('max_attempts', 'a whole number from 1 to 100', options ->> 'maxAttempts', job);
        END IF;
        o.max_attempts := options ->> 'maxAttempts';
    END IF;
    o.retry := penstock.check_retry(nullif(options -> 'retryStrategy', 'null'), job);
    o.timeout := penstock.read_milliseconds('timeout', options -> 'timeout', 1, job);
    o.expires_at := moment + penstock.read_milliseconds('expires_in', options -> 'expiresIn', 1, job);
    IF options -> 'tags' NOT IN ('null', '[]') THEN
        IF jsonb_typeof(options -> 'tags') <> 'array' OR jsonb_array_length(options -> 'tags') > 32 THEN
            PERFORM penstock.refuse('tags', 'a list of at most 32 tags', options ->> 'tags', job);
        END IF;
        SELECT array_agg(t #>> '{}') INTO o.tags FROM jsonb_array_elements(options -> 'tags') t;
        PERFORM penstock.check_name('tags', t, job) FROM unnest(o.tags) t;
    END IF;
    o.idempotency_key := options ->> 'idempotencyKey';
    IF length(o.idempotency_key) NOT BETWEEN 1 AND 256 THEN
        PERFORM penstock.refuse('idempotency_key', '1 to 256 characters', o.idempotency_key, job);
    END IF;
    o.trace_context := options ->> 'traceContext';
    IF length(o.trace_context) NOT BETWEEN 1 AND 1024 THEN
        PERFORM penstock.refuse('trace_context', '1 to 1024 characters', o.trace_context, job);
    END IF;
    RETURN o;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Tells a sleeping fetcher of this queue that there is work. A fetcher that
-- sleeps holds a shared advisory lock (see fall_asleep), so a failed try-lock
-- means one may hear; NOTIFY makes commits wait for each other, so it is sent
-- only then and at most once per session and queue in 5 ms. A fetcher that was
-- woken polls for longer than that before it sleeps again.
CREATE OR REPLACE FUNCTION penstock.wake(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp AS $$
DECLARE
    channel integer := hashtext(wake.queue);
    mark    text := 'penstock.woken_' || to_hex(hashtext(wake.queue));
    ms      bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF ms - coalesce(nullif(current_setting(mark, true), ''), '0')::bigint BETWEEN 0 AND 4 THEN
        RETURN;
    END IF;
    IF pg_try_advisory_lock(x'70656e73'::integer, channel) THEN
        PERFORM pg_advisory_unlock(x'70656e73'::integer, channel);
        RETURN;
    END IF;
    PERFORM pg_notify('penstock', wake.queue);
    PERFORM set_config(mark, ms::text, false);
END $$;
-- +goose StatementEnd
