-- The short way is made shorter: fewer looks at other tables. Safe on a live database: only
-- functions are made and replaced.

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
-- The session keeps in penstock.covered the minute in which today had one: so enqueue_one
-- asks once a minute, and no longer relies on a partition that somebody took away.
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
-- The short way of enqueue_many, for one job that neither rules nor tags concern and whose
-- idempotency key is free, as most are that an application enqueues in its transactions; null
-- where it does not go, and enqueue_batch then decides, or says what is wrong. One row needs
-- no array executors, and each probe that is not made counts: of 16 sessions on two cores a
-- look at an empty table takes a job 10 µs longer.
CREATE OR REPLACE FUNCTION penstock.enqueue_one(queue text, name text, data jsonb, options jsonb, notify boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    minute CONSTANT integer := floor(extract(epoch FROM moment) / 60);
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
    new_id := CASE WHEN current_setting('penstock.covered', true) = minute::text THEN minute / 1440
        ELSE penstock.job_day() END * 100000000000 + nextval('penstock.job_sequence');
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
DROP FUNCTION penstock.sleeps(text);
