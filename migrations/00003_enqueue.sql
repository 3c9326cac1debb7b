-- Enqueue: rows in jobs and pending inside the caller's transaction, and a
-- wake-up if somebody sleeps. Every road (Go, REST, shell, psql) ends in
-- enqueue_many. Refusals carry SQLSTATE PN400 and name the argument.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- Tells a sleeping fetcher of this queue that there is work. A fetcher that
-- sleeps holds a shared advisory lock (see fall_asleep), so a failed try-lock
-- means one may hear; NOTIFY makes commits wait for each other, so it is sent
-- only then and at most once per session and queue in 5 ms. A fetcher that was
-- woken polls for longer than that before it sleeps again.
CREATE FUNCTION penstock.wake(queue text) RETURNS void
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

-- +goose StatementBegin
-- Marks the session as a sleeper of these queues: from now on enqueue notifies.
-- The session must LISTEN on penstock and look for work once more afterwards.
CREATE FUNCTION penstock.fall_asleep(queue text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT pg_advisory_lock_shared(x'70656e73'::integer, hashtext(fall_asleep.queue))
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.wake_up(queue text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT pg_advisory_unlock_shared(x'70656e73'::integer, hashtext(wake_up.queue))
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION penstock.check_name(argument text, value text, job bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL OR value !~ '^[A-Za-z0-9._:/-]{1,128}$' THEN
        PERFORM penstock.refuse(argument, '1 to 128 of letters, digits and . _ - : /', value, job);
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The weight of what a caller calls a priority: a weight 1-100, a level's name,
-- or an object with a weight or else a level. Null stays null.
CREATE FUNCTION penstock.priority_weight(priority jsonb, job bigint DEFAULT NULL) RETURNS smallint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    asked  jsonb := CASE jsonb_typeof(priority) WHEN 'object' THEN
        coalesce(nullif(priority -> 'weight', 'null'), priority -> 'level') ELSE priority END;
    word   text := asked #>> '{}';
    weight smallint;
BEGIN
    IF priority IS NULL OR priority = 'null' THEN
        RETURN NULL;
    END IF;
    IF word ~ '^\d{1,3}$' AND word::integer BETWEEN 1 AND 100 THEN
        RETURN word;
    END IF;
    SELECT l.weight INTO weight FROM penstock.priority_levels l WHERE l.level = word;
    IF weight IS NULL THEN
        PERFORM penstock.refuse('priority', 'a weight from 1 to 100 or one of '
            || (SELECT string_agg(l.level, ', ' ORDER BY l.weight) FROM penstock.priority_levels l), word, job);
    END IF;
    RETURN weight;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- A whole or fractional count of milliseconds as an interval; null stays null.
CREATE FUNCTION penstock.read_milliseconds(argument text, value jsonb, least_ms float8, job bigint DEFAULT NULL)
RETURNS interval LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    most CONSTANT float8 := 3153600000000;
BEGIN
    IF value IS NULL OR value = 'null' THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(value) <> 'number' OR value::numeric NOT BETWEEN least_ms::numeric AND most::numeric THEN
        PERFORM penstock.refuse(argument, format('milliseconds from %s to %s (100 years)', least_ms, most::bigint), value::text, job);
    END IF;
    -- Rounded, since a number too small for a float does not become 0 by itself.
    RETURN make_interval(secs => round(value::numeric, 6)::float8 / 1000);
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The length of a JSON value as text, null if it holds numbers of more than 400
-- digits. A kilobyte of those (1e131071) is over a megabyte of text, which a value of
-- 2,000 bytes or less may cost and a larger one must not; so it is not written out.
CREATE FUNCTION penstock.json_bytes(value jsonb) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN pg_column_size(value) <= 2000 OR NOT jsonb_path_exists(value,
            'strict $.** ? (@ > 1e400 || @ < -1e400 || (@ < 1e-400 && @ > -1e-400 && @ != 0))')
        THEN octet_length(value::text) END
$$;
-- +goose StatementEnd

CREATE TYPE penstock.job_options AS (
    priority smallint, run_at timestamptz, retry jsonb, max_attempts smallint, timeout interval,
    expires_at timestamptz, tags text[], idempotency_key text, trace_context text);

-- +goose StatementBegin
-- Reads and checks one job's options: priority, delay (ms), runAt, retryStrategy,
-- maxAttempts, timeout (ms), expiresIn (ms), tags, idempotencyKey, traceContext.
CREATE FUNCTION penstock.read_options(options jsonb, moment timestamptz, job bigint) RETURNS penstock.job_options
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

-- +goose Down
DROP FUNCTION penstock.read_options(jsonb, timestamptz, bigint), penstock.priority_weight(jsonb, bigint),
    penstock.read_milliseconds(text, jsonb, float8, bigint), penstock.check_name(text, text, bigint),
    penstock.json_bytes(jsonb), penstock.fall_asleep(text), penstock.wake_up(text), penstock.wake(text);
DROP TYPE penstock.job_options;
