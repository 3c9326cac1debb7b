-- Reads and checks the options of one job: priority, delay (ms), runAt, retryStrategy,
-- maxAttempts, timeout (ms), expiresIn (ms), tags, idempotencyKey, traceContext. It handles
-- only the options that are there: most jobs bring one, and a call can have 10,000 jobs.
-- job is the job's position in a call of many, for the error.
CREATE OR REPLACE FUNCTION penstock.read_options(options jsonb, moment timestamptz, job bigint) RETURNS penstock.job_options
LANGUAGE plpgsql STABLE AS $$
DECLARE
    o              penstock.job_options;
    unknown_option text;
    delay          interval;
    word           text := options ->> 'priority';
    due            text := options ->> 'runAt';
    named          boolean;
BEGIN
    IF jsonb_typeof(options) <> 'object' THEN
        PERFORM penstock.refuse('options', 'a JSON object', jsonb_typeof(options), job);
    ELSIF pg_column_size(options) > 128 AND coalesce(penstock.json_bytes(options), 1048577) > 1048576 THEN
        PERFORM penstock.refuse('options', 'JSON of at most 1048576 bytes', 'more', job);
    ELSIF options - '{priority,delay,runAt,retryStrategy,maxAttempts,timeout,expiresIn,tags,idempotencyKey,traceContext}'::text[]
            <> '{}' THEN
        SELECT k INTO unknown_option FROM jsonb_object_keys(options) k WHERE k NOT IN ('priority', 'delay', 'runAt',
            'retryStrategy', 'maxAttempts', 'timeout', 'expiresIn', 'tags', 'idempotencyKey', 'traceContext');
        PERFORM penstock.refuse('options', 'of priority, delay, runAt, retryStrategy, maxAttempts, timeout, expiresIn, '
            || 'tags, idempotencyKey, traceContext', unknown_option, job);
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
