-- Retry policies as rows, and the one formula for the next delay.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- The row for (queue, name), else (queue, *), else (*, *); a null column is
-- looked up in the next broader row, and (*, *) has no nulls.
CREATE TABLE penstock.retry_policies (
    queue         text     NOT NULL,
    name          text     NOT NULL DEFAULT '*',
    strategy      text     CHECK (strategy IN ('exponential', 'linear', 'fixed', 'custom')),
    delay         interval CHECK (delay BETWEEN '0' AND '366 days'),
    multiplier    float8   CHECK (multiplier BETWEEN 1 AND 1000),
    max_delay     interval CHECK (max_delay BETWEEN '0' AND '366 days'),
    max_attempts  smallint CHECK (max_attempts BETWEEN 1 AND 100),
    jitter        float8   CHECK (jitter BETWEEN 0 AND 1),
    non_retryable text[],
    retryable     text[],
    PRIMARY KEY (queue, name),
    CHECK (queue <> '*' OR name = '*'),
    CHECK (queue <> '*' OR num_nulls(strategy, delay, multiplier, max_delay, max_attempts, jitter,
        non_retryable, retryable) = 0)
);
COMMENT ON COLUMN penstock.retry_policies.max_attempts IS 'Runs, the first one included.';
COMMENT ON COLUMN penstock.retry_policies.non_retryable IS 'Error classes that go to the DLQ at once; * matches any text.';
COMMENT ON COLUMN penstock.retry_policies.retryable IS 'Error classes that are retried even if non_retryable matches.';
INSERT INTO penstock.retry_policies VALUES
    ('*', '*', 'exponential', '1 second', 2, '1 hour', 5, 0.1,
     '{ValidationError,AuthenticationError,AuthorizationError,NotFoundError,InvalidArgumentError}', '{}'),
    ('deploy-contract', '*', 'exponential', '5 seconds', 2, '5 minutes', 5, NULL, NULL, NULL),
    ('process-tts', '*', 'exponential', '2 seconds', 2, '1 minute', 3, NULL, NULL, NULL),
    ('index-market-news', '*', 'linear', '10 seconds', NULL, '2 minutes', 7, NULL, NULL, NULL);

-- +goose StatementBegin
-- What a job of this queue and name is retried by: its own overrides (the JSON of
-- check_retry, and max_attempts) filled up from the policy rows.
CREATE FUNCTION penstock.effective_policy(queue text, name text, retry jsonb DEFAULT NULL,
    max_attempts smallint DEFAULT NULL) RETURNS SETOF penstock.retry_policies
LANGUAGE sql STABLE AS $$
    SELECT effective_policy.queue, effective_policy.name,
        coalesce(retry ->> 'type', one.strategy, q.strategy, every.strategy),
        coalesce(make_interval(secs => (retry ->> 'delay')::float8 / 1000), one.delay, q.delay, every.delay),
        coalesce((retry ->> 'backoffMultiplier')::float8, one.multiplier, q.multiplier, every.multiplier),
        coalesce(make_interval(secs => (retry ->> 'maxDelay')::float8 / 1000), one.max_delay, q.max_delay, every.max_delay),
        coalesce(effective_policy.max_attempts, (retry ->> 'maxAttempts')::smallint,
            one.max_attempts, q.max_attempts, every.max_attempts),
        coalesce((retry ->> 'jitter')::float8, one.jitter, q.jitter, every.jitter),
        coalesce(one.non_retryable, q.non_retryable, every.non_retryable),
        coalesce(one.retryable, q.retryable, every.retryable)
    FROM penstock.retry_policies every
    LEFT JOIN penstock.retry_policies q ON q.queue = effective_policy.queue AND q.name = '*'
    LEFT JOIN penstock.retry_policies one ON one.queue = effective_policy.queue AND one.name = effective_policy.name
    WHERE every.queue = '*' AND every.name = '*'
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The wait before the next run of a job whose failures-th failure (1, 2, 3 ...)
-- just happened:
--   fixed        d
--   linear       d x failures
--   exponential  d x multiplier ^ (failures - 1)
-- first capped at max_delay, then spread by a factor drawn from
-- [1 - jitter, 1 + jitter) (chance is in [0, 1)), then capped again. A custom
-- strategy brings its own delay; where it brought none, d serves. The exponent is
-- compared as a logarithm, so no number of failures overflows.
CREATE FUNCTION penstock.retry_delay(strategy text, delay interval, multiplier float8, max_delay interval,
    jitter float8, failures integer, chance float8 DEFAULT random()) RETURNS interval
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    base CONSTANT float8 := extract(epoch FROM delay);
    most CONSTANT float8 := extract(epoch FROM max_delay);
    wait float8 := CASE strategy
        WHEN 'linear' THEN base * greatest(failures, 1)
        WHEN 'exponential' THEN CASE
            WHEN base = 0 THEN 0
            WHEN most = 0 OR ln(base) + ln(multiplier) * (greatest(failures, 1)::float8 - 1) >= ln(most) THEN most
            ELSE base * power(multiplier, greatest(failures, 1)::float8 - 1) END
        ELSE base END;
BEGIN
    RETURN make_interval(secs => least(most, least(most, wait) * (1 + jitter * (2 * chance - 1))));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Checks a job's retry overrides and returns them: an object with any of type
-- (exponential, linear, fixed, custom), delay and maxDelay (ms), maxAttempts,
-- backoffMultiplier (1-1000), jitter (0-1). Numbers come back in a form that casts
-- to their types: 3.0 is 3, and what is too small for a float is 0.
CREATE FUNCTION penstock.check_retry(retry jsonb, job bigint DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    field   text;
    value   jsonb;
    highest numeric;
    checked jsonb := retry;
BEGIN
    IF retry IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(retry) <> 'object' THEN
        PERFORM penstock.refuse('retry', 'a JSON object', retry::text, job);
    END IF;
    FOR field, value IN SELECT f.key, f.value FROM jsonb_each(retry) f LOOP
        IF field = 'type' THEN
            IF value #>> '{}' IS NULL OR value #>> '{}' NOT IN ('exponential', 'linear', 'fixed', 'custom') THEN
                PERFORM penstock.refuse('retry.type', 'exponential, linear, fixed or custom', value #>> '{}', job);
            END IF;
            CONTINUE;
        END IF;
        highest := CASE field WHEN 'delay' THEN 31622400000 WHEN 'maxDelay' THEN 31622400000
            WHEN 'maxAttempts' THEN 100 WHEN 'backoffMultiplier' THEN 1000 WHEN 'jitter' THEN 1 END;
        IF highest IS NULL THEN
            PERFORM penstock.refuse('retry', 'of type, delay, maxDelay, maxAttempts, backoffMultiplier, jitter', field, job);
        ELSIF jsonb_typeof(value) <> 'number'
            OR value::numeric NOT BETWEEN (field IN ('maxAttempts', 'backoffMultiplier'))::integer AND highest
            OR (field = 'maxAttempts' AND value::numeric <> trunc(value::numeric)) THEN
            PERFORM penstock.refuse('retry.' || field, format('%s from %s to %s',
                CASE field WHEN 'maxAttempts' THEN 'a whole number' WHEN 'delay' THEN 'milliseconds'
                    WHEN 'maxDelay' THEN 'milliseconds' ELSE 'a number' END,
                (field IN ('maxAttempts', 'backoffMultiplier'))::integer, highest), value #>> '{}', job);
        END IF;
        checked := checked || jsonb_build_object(field, trim_scale(round(value::numeric, 9)));
    END LOOP;
    RETURN nullif(checked, '{}');
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Whether an error class matches one of the patterns, in which * stands for any text.
CREATE FUNCTION penstock.class_matches(class text, patterns text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT EXISTS (SELECT FROM unnest(patterns) p
        WHERE class LIKE replace(replace(replace(replace(p, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'))
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Groups errors that are one error: 16 hex digits over the class and the message
-- with quoted text, ids (8 or more hex digits with a decimal one) and numbers (0x too) blanked.
CREATE FUNCTION penstock.fingerprint(class text, message text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT left(md5(class || E'\n' || regexp_replace(regexp_replace(regexp_replace(left(message, 1000),
        '"[^"]*"|`[^`]*`|(?<![[:alnum:]])''[^'']*''', '""', 'g'),
        '0x[[:xdigit:]]+|(?=[[:xdigit:]-]*\d)[[:xdigit:]-]{8,}', '#', 'g'),
        '\d+', '#', 'g')), 16)
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION penstock.fingerprint(text, text), penstock.class_matches(text, text[]), penstock.check_retry(jsonb, bigint),
    penstock.retry_delay(text, interval, float8, interval, float8, integer, float8),
    penstock.effective_policy(text, text, jsonb, smallint);
DROP TABLE penstock.retry_policies;
