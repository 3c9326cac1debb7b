-- Checks the retry overrides of a job and returns them: an object with any of type (exponential,
-- linear, fixed, custom), delay and maxDelay (ms), maxAttempts, backoffMultiplier (1 to 1000),
-- jitter (0 to 1). Numbers are returned in a form that casts to their types: 3.0 becomes 3, and
-- a number too small for a float becomes 0.
CREATE OR REPLACE FUNCTION penstock.check_retry(retry jsonb, job bigint DEFAULT NULL) RETURNS jsonb
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
