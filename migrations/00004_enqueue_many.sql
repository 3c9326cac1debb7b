-- Enqueue, the rest: idempotency keys, the array form that carries bulk and group
-- commit, the JSON form for any driver, and the one with named arguments for SQL.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- Claims the idempotency keys of one call and returns, for each key in the order
-- of keys, the job id that holds it: the one proposed in ids if the key was
-- free or its job finished more than 24 hours ago, else the winner's (P7).
-- Keys are taken in their own order, so two calls never deadlock; a key that a
-- transaction still holds is waited for, and taken if that rolls back.
CREATE FUNCTION penstock.hold_keys(queue text, keys text[], ids bigint[]) RETURNS bigint[]
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

-- +goose StatementBegin
-- Enqueues jobs of one queue, all or none, and returns their ids in order.
-- names and data are of one length, 1 to 10,000 jobs; options, if given, holds
-- for each job null or an object as read_options describes. A job whose
-- idempotency key is held gets the holder's id and is not enqueued again.
-- notify => false leaves out the wake-up, for callers that PREPARE TRANSACTION.
CREATE FUNCTION penstock.enqueue_many(queue text, names text[], data jsonb[], options jsonb[] DEFAULT NULL,
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
-- The same for any driver: jobs is an array of objects with name, data and the
-- options of read_options.
CREATE FUNCTION penstock.enqueue_many(queue text, jobs jsonb, notify boolean DEFAULT true) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
DECLARE
    names   text[];
    data    jsonb[];
    options jsonb[];
BEGIN
    IF jobs IS NULL OR jsonb_typeof(jobs) <> 'array' THEN
        PERFORM refuse('jobs', 'an array of objects with name and data', jsonb_typeof(jobs));
    END IF;
    PERFORM refuse('jobs', 'an array of objects with name and data', jsonb_typeof(e.job), e.nth)
    FROM jsonb_array_elements(jobs) WITH ORDINALITY e(job, nth) WHERE jsonb_typeof(e.job) <> 'object';
    SELECT array_agg(e.job ->> 'name' ORDER BY e.nth), array_agg(e.job -> 'data' ORDER BY e.nth),
           array_agg(e.job - 'name' - 'data' ORDER BY e.nth)
    INTO names, data, options FROM jsonb_array_elements(jobs) WITH ORDINALITY e(job, nth);
    RETURN enqueue_many(enqueue_many.queue, names, data, options, enqueue_many.notify);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Enqueues one job in the caller's transaction and returns its id. priority is a
-- weight 1-100 or a level's name; run_at and delay exclude each other; retry is
-- an object as check_retry describes; expires_in bounds the wait for a start.
CREATE FUNCTION penstock.enqueue(queue text, name text, data jsonb DEFAULT '{}', priority text DEFAULT NULL,
    delay interval DEFAULT NULL, run_at timestamptz DEFAULT NULL, retry jsonb DEFAULT NULL,
    max_attempts integer DEFAULT NULL, timeout interval DEFAULT NULL, expires_in interval DEFAULT NULL,
    tags text[] DEFAULT NULL, idempotency_key text DEFAULT NULL, trace_context text DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
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
-- The same with the priority as a number, so that priority => 10 works too.
CREATE FUNCTION penstock.enqueue(queue text, name text, data jsonb, priority integer,
    delay interval DEFAULT NULL, run_at timestamptz DEFAULT NULL, retry jsonb DEFAULT NULL,
    max_attempts integer DEFAULT NULL, timeout interval DEFAULT NULL, expires_in interval DEFAULT NULL,
    tags text[] DEFAULT NULL, idempotency_key text DEFAULT NULL, trace_context text DEFAULT NULL,
    notify boolean DEFAULT true) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT penstock.enqueue(queue, name, data, priority::text, delay, run_at, retry, max_attempts, timeout,
        expires_in, tags, idempotency_key, trace_context, notify)
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION penstock.enqueue(text, text, jsonb, integer, interval, timestamptz, jsonb, integer, interval, interval,
    text[], text, text, boolean);
DROP FUNCTION penstock.enqueue(text, text, jsonb, text, interval, timestamptz, jsonb, integer, interval, interval,
    text[], text, text, boolean);
DROP FUNCTION penstock.enqueue_many(text, jsonb, boolean), penstock.enqueue_many(text, text[], jsonb[], jsonb[], boolean),
    penstock.hold_keys(text, text[], bigint[]);
