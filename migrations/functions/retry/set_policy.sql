-- Sets fields of the policy of a queue and name (* is every name; queue * is every queue) and
-- leaves the others. policy is an object with any field of check_retry, nonRetryable and
-- retryable (arrays of class patterns); null resets a field to the broader policy. A null policy
-- removes the row. From now on it applies to every job that brought no overrides.
CREATE OR REPLACE FUNCTION penstock.set_policy(queue text, name text, policy jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    list          text;
    unknown_field text;
    given         jsonb;
BEGIN
    IF set_policy.queue IS DISTINCT FROM '*' THEN
        PERFORM check_name('queue', set_policy.queue);
    ELSIF set_policy.policy IS NULL THEN
        PERFORM refuse('policy', 'given for every queue: it is what the others fall back on', NULL);
    END IF;
    IF set_policy.name IS DISTINCT FROM '*' THEN
        PERFORM check_name('name', set_policy.name);
        IF set_policy.queue = '*' THEN
            PERFORM refuse('name', '* when the queue is', set_policy.name);
        END IF;
    END IF;
    IF set_policy.policy IS NULL THEN
        DELETE FROM retry_policies r WHERE r.queue = set_policy.queue AND r.name = set_policy.name;
        RETURN;
    ELSIF jsonb_typeof(set_policy.policy) <> 'object' THEN
        PERFORM refuse('policy', 'a JSON object', jsonb_typeof(set_policy.policy));
    END IF;
    SELECT f INTO unknown_field FROM jsonb_object_keys(set_policy.policy) f WHERE f NOT IN ('type', 'delay', 'maxDelay',
        'maxAttempts', 'backoffMultiplier', 'jitter', 'nonRetryable', 'retryable');
    IF unknown_field IS NOT NULL THEN
        PERFORM refuse('policy', 'of type, delay, maxDelay, maxAttempts, backoffMultiplier, jitter, nonRetryable, retryable',
            unknown_field);
    END IF;
    given := set_policy.policy || coalesce(check_retry(jsonb_strip_nulls(set_policy.policy - 'nonRetryable' - 'retryable')), '{}');
    FOREACH list IN ARRAY ARRAY['nonRetryable', 'retryable'] LOOP
        CONTINUE WHEN set_policy.policy -> list IS NULL OR set_policy.policy -> list = 'null';
        IF jsonb_typeof(set_policy.policy -> list) <> 'array' OR jsonb_array_length(set_policy.policy -> list) > 200
            OR EXISTS (SELECT FROM jsonb_array_elements(set_policy.policy -> list) e
                       WHERE jsonb_typeof(e) <> 'string' OR length(e #>> '{}') NOT BETWEEN 1 AND 200) THEN
            PERFORM refuse('policy.' || list, 'a list of at most 200 class patterns of 1 to 200 characters',
                (set_policy.policy -> list)::text);
        END IF;
    END LOOP;
    IF set_policy.queue = '*' AND EXISTS (SELECT FROM jsonb_each(set_policy.policy) f WHERE f.value = 'null') THEN
        PERFORM refuse('policy', 'without nulls for every queue: there is nothing broader', set_policy.policy::text);
    END IF;
    IF set_policy.queue <> '*' THEN -- that row always exists, and must never lack a field
        INSERT INTO retry_policies (queue, name) VALUES (set_policy.queue, set_policy.name) ON CONFLICT DO NOTHING;
    END IF;
    UPDATE retry_policies r SET
        strategy = CASE WHEN f ? 'type' THEN f ->> 'type' ELSE r.strategy END,
        delay = CASE WHEN f ? 'delay' THEN make_interval(secs => (f ->> 'delay')::float8 / 1000) ELSE r.delay END,
        multiplier = CASE WHEN f ? 'backoffMultiplier' THEN (f ->> 'backoffMultiplier')::float8 ELSE r.multiplier END,
        max_delay = CASE WHEN f ? 'maxDelay' THEN make_interval(secs => (f ->> 'maxDelay')::float8 / 1000) ELSE r.max_delay END,
        max_attempts = CASE WHEN f ? 'maxAttempts' THEN (f ->> 'maxAttempts')::smallint ELSE r.max_attempts END,
        jitter = CASE WHEN f ? 'jitter' THEN (f ->> 'jitter')::float8 ELSE r.jitter END,
        non_retryable = CASE WHEN f -> 'nonRetryable' = 'null' THEN NULL WHEN f ? 'nonRetryable'
            THEN ARRAY(SELECT jsonb_array_elements_text(f -> 'nonRetryable')) ELSE r.non_retryable END,
        retryable = CASE WHEN f -> 'retryable' = 'null' THEN NULL WHEN f ? 'retryable'
            THEN ARRAY(SELECT jsonb_array_elements_text(f -> 'retryable')) ELSE r.retryable END
    FROM (SELECT given AS f) g
    WHERE r.queue = set_policy.queue AND r.name = set_policy.name;
END $$;
