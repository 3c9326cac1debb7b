-- Returns the policy that retries a job of this queue and name: its own overrides (the JSON of
-- check_retry, and max_attempts), completed from the rows of retry_policies. Index: the primary
-- key of retry_policies.
CREATE OR REPLACE FUNCTION penstock.effective_policy(queue text, name text, retry jsonb DEFAULT NULL,
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
