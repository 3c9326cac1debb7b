-- Counts ended attempts of one queue for its circuit breakers. It opens those with too many
-- failures, and closes or keeps open those whose probe ended. The arrays run in parallel; failed
-- is true, false, or null for an end that shows neither (snoozed, released, cancelled, lost).
-- REQUIRES: the queue has a breaker.
-- Indexes: breaker_tallies_newest, the primary keys of breakers and breaker_states. Locks: the
-- queue's rows of breakers if an attempt failed; the rows of breaker_states that change.
CREATE OR REPLACE FUNCTION penstock.count_for_breakers(queue text, names text[], job_ids bigint[], attempts integer[], failed boolean[])
RETURNS void LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    one    record;
    sums   record;
BEGIN
    -- Failures of one queue are counted one batch after the other, so that the last of
    -- several that end at once sees them all. Successes do not wait.
    IF true = ANY (failed) THEN
        -- The lock on the breakers' rows also keeps them while their states are written: one that
        -- is removed at the same time closes what opens here.
        PERFORM FROM breakers b WHERE b.queue = count_for_breakers.queue ORDER BY b.name FOR UPDATE;
    END IF;
    INSERT INTO breaker_tallies (queue, name, at, attempts, failures)
    SELECT count_for_breakers.queue, e.name, moment, count(*), count(*) FILTER (WHERE e.failed)
    FROM unnest(names, failed) e(name, failed) WHERE e.failed IS NOT NULL GROUP BY e.name;

    UPDATE breaker_states s SET is_open = e.failed, changed_at = CASE WHEN e.failed THEN s.changed_at ELSE moment END,
        next_probe_at = CASE WHEN e.failed THEN moment + b.cool_down END, probe_job_id = NULL, probe_attempt = NULL
    FROM unnest(job_ids, count_for_breakers.attempts, failed) e(job_id, attempt, failed), breakers b
    WHERE s.queue = count_for_breakers.queue AND s.is_open AND s.probe_job_id = e.job_id AND s.probe_attempt = e.attempt
      AND e.failed IS NOT NULL AND b.queue = s.queue
      AND b.name = (SELECT m.name FROM breakers m WHERE m.queue = s.queue AND m.name IN (s.name, '*')
          ORDER BY m.name = '*' LIMIT 1);

    FOR one IN
        SELECT DISTINCT ON (n.name) n.name, b.failure_share, b.least_attempts, b.span, b.cool_down, s.changed_at
        FROM (SELECT DISTINCT e.name FROM unnest(names, failed) e(name, failed) WHERE e.failed) n
        JOIN breakers b ON b.queue = count_for_breakers.queue AND b.name IN (n.name, '*')
        LEFT JOIN breaker_states s ON s.queue = b.queue AND s.name = n.name
        WHERE s.is_open IS NOT TRUE
        ORDER BY n.name, b.name = '*'
    LOOP
        SELECT coalesce(sum(t.attempts), 0) AS attempts, coalesce(sum(t.failures), 0) AS failures INTO sums
        FROM breaker_tallies t WHERE t.queue = count_for_breakers.queue AND t.name = one.name
          AND t.at > greatest(moment - one.span, one.changed_at);
        CONTINUE WHEN sums.attempts < one.least_attempts OR sums.failures < one.failure_share * sums.attempts;
        INSERT INTO breaker_states AS s (queue, name, is_open, changed_at, next_probe_at, attempts, failures)
        VALUES (count_for_breakers.queue, one.name, true, moment, moment + one.cool_down, sums.attempts, sums.failures)
        ON CONFLICT (queue, name) DO UPDATE SET is_open = true, changed_at = moment, next_probe_at = excluded.next_probe_at,
            probe_job_id = NULL, probe_attempt = NULL, attempts = excluded.attempts, failures = excluded.failures
            WHERE NOT s.is_open;
    END LOOP;
END $$;
