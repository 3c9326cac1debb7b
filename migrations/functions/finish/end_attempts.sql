-- Ends attempts of one queue that are still leased: job, attempt and, where it is given, the
-- time of the claim must match (P5; see complete_many). The
-- arrays run in parallel; '' in a text array, null in results and a negative delay mean none.
-- outcomes are completed, failed, dead (failed, not to be retried), snoozed, released,
-- cancelled and lost. A class may be several, separated by spaces, outermost first: the names
-- that the error goes by. The first that the policy knows decides and is recorded, else the
-- first of all.
--   failed    failures + 1. The job dies if the class is non-retryable or the policy's
--             max_attempts are used up; else it is retried after the delay given, or the policy's
--   lost      crashes + 1 if the class is WorkerLost. The third moves the job to the dead letter
--             queue (crash_loop)
--   snoozed, released   back to pending after the delay; no failure is counted
-- A requested cancel ends the job whatever the outcome was, unless the attempt completed.
--
-- Indexes: the primary keys of running, jobs, attempts, retry_policies, workers and breakers.
-- Locks: the attempts' rows of running, in the order of ids, so two batches cannot deadlock;
-- what count_for_breakers takes if the queue has a breaker.
CREATE OR REPLACE FUNCTION penstock.end_attempts(queue text, job_ids bigint[], attempts integer[], outcomes text[],
    error_classes text[], messages text[], details text[], results jsonb[], delays interval[],
    claimed_ats timestamptz[] DEFAULT NULL)
RETURNS SETOF penstock.endings
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment          CONSTANT timestamptz := clock_timestamp();
    answers         endings[];
    ids             bigint[];
    attempt_numbers integer[];
    ended_outcomes  text[];
    names           text[];
BEGIN
    WITH said AS MATERIALIZED (
        SELECT end_attempts.queue AS queue, u.job_id, u.attempt, u.outcome, nullif(u.class, '') AS class, nullif(u.message, '') AS message,
            nullif(u.detail, '') AS detail, u.result, -- In seconds: a month and minus thirty days may be behind the clock.
            CASE WHEN u.delay >= '0' THEN make_interval(secs => extract(epoch FROM u.delay)::float8) END AS delay, u.claimed_at
        FROM unnest(job_ids, end_attempts.attempts, outcomes, error_classes, messages, details, results, delays, claimed_ats)
            AS u(job_id, attempt, outcome, class, message, detail, result, delay, claimed_at)
        ORDER BY u.job_id
    ), ended AS (
        DELETE FROM running r USING said s
        WHERE r.job_id = ANY (ARRAY[s.job_id]) AND r.queue = s.queue AND r.attempt = s.attempt
            AND (s.claimed_at IS NULL OR r.claimed_at = s.claimed_at)
        RETURNING r.*, s.outcome, left(s.message, 2000) AS message, left(s.detail, 16000) AS detail, s.result, s.delay,
            CASE WHEN s.outcome IN ('failed', 'dead', 'lost') THEN string_to_array(coalesce(s.class, 'Error'), ' ') END AS classes
    ), weighed AS (
        SELECT e.*, p.strategy, p.delay AS policy_delay, p.multiplier, p.max_delay, p.jitter, p.max_attempts,
            CASE WHEN e.classes IS NOT NULL THEN jsonb_build_object('type', p.strategy, 'delay', extract(epoch FROM p.delay) * 1000,
                'maxAttempts', p.max_attempts, 'backoffMultiplier', p.multiplier,
                'maxDelay', extract(epoch FROM p.max_delay) * 1000, 'jitter', p.jitter) END AS retry_strategy,
            left(coalesce(known.class, e.classes[1]), 200) AS class, coalesce(known.fatal, false) AS fatal
        FROM ended e
        LEFT JOIN LATERAL (SELECT j.retry, j.max_attempts FROM jobs j WHERE j.id = e.job_id AND j.queue = e.queue) j
            ON e.classes IS NOT NULL
        LEFT JOIN LATERAL effective_policy(e.queue, e.name, j.retry, j.max_attempts) p ON e.classes IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT c.class, NOT class_matches(c.class, p.retryable) AS fatal
            FROM unnest(e.classes) WITH ORDINALITY c(class, nth)
            WHERE class_matches(c.class, p.retryable) OR class_matches(c.class, p.non_retryable)
            ORDER BY c.nth LIMIT 1) known ON true
    ), decided AS (
        SELECT e.*,
            e.failures + (e.outcome IN ('failed', 'dead'))::integer AS failures_now,
            e.crashes + (e.outcome = 'lost' AND e.class = 'WorkerLost')::integer AS crashes_now,
            CASE WHEN e.class IS NOT NULL THEN fingerprint(e.class, coalesce(e.message, '')) END AS fingerprint,
            CASE WHEN e.outcome = 'completed' THEN 'completed'
                WHEN e.cancel_requested OR e.outcome = 'cancelled' THEN 'cancelled'
                WHEN e.outcome IN ('snoozed', 'released') THEN 'waiting'
                WHEN e.outcome = 'lost' THEN CASE WHEN e.crashes >= 2 AND e.class = 'WorkerLost' THEN 'crash_loop' ELSE 'waiting' END
                WHEN e.outcome = 'dead' OR e.fatal THEN 'non_retryable'
                WHEN e.failures + 1 >= e.max_attempts THEN CASE e.class WHEN 'Timeout' THEN 'timeout' ELSE 'exhausted' END
                ELSE 'retrying' END AS next,
            CASE WHEN e.outcome = 'failed' THEN coalesce(e.delay,
                    retry_delay(e.strategy, e.policy_delay, e.multiplier, e.max_delay, e.jitter, e.failures + 1))
                ELSE coalesce(e.delay, '0') END AS wait
        FROM weighed e
    ), noted AS (
        INSERT INTO attempts (job_id, attempt, queue, name, priority, worker_id, run_at, claimed_at, finished_at,
            outcome, error_class, message, detail, fingerprint, result, progress, progress_note)
        SELECT g.job_id, g.attempt, g.queue, g.name, g.priority, g.worker_id, g.run_at, g.claimed_at, moment,
            CASE WHEN g.next = 'cancelled' THEN 'cancelled' WHEN g.outcome = 'dead' THEN 'failed' ELSE g.outcome END,
            g.class, g.message, g.detail, g.fingerprint, g.result, g.progress, g.progress_note
        FROM decided g
    ), tallied AS (
        INSERT INTO tallies (at, queue, name, outcome, dead, claimed_at, jobs, run_ats, jobs_each)
        SELECT moment, end_attempts.queue, d.name, d.outcome, d.dead, d.claimed_at, sum(d.jobs), array_agg(d.run_at), array_agg(d.jobs)
        FROM (SELECT g.name, CASE WHEN g.next = 'cancelled' THEN 'cancelled' WHEN g.outcome = 'dead' THEN 'failed' ELSE g.outcome END
                AS outcome, g.next NOT IN ('completed', 'cancelled', 'waiting', 'retrying') AS dead, g.claimed_at, g.run_at,
                count(*) AS jobs
              FROM decided g GROUP BY 1, 2, 3, 4, 5) d
        GROUP BY d.name, d.outcome, d.dead, d.claimed_at
    ), again AS (
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, timeout, expires_at)
        SELECT g.queue, g.priority, moment + g.wait, g.job_id, g.name, g.attempt, g.failures_now, g.crashes_now, j.timeout,
            CASE WHEN g.outcome = 'released' THEN j.expires_at END
        FROM decided g JOIN jobs j ON j.id = g.job_id AND j.queue = g.queue
        WHERE g.next IN ('waiting', 'retrying')
    ), buried AS (
        INSERT INTO dead_jobs (job_id, enqueued_at, failed_at, timeout, origin_id, attempt, failures, generation, crashes,
            priority, asked_priority, max_attempts, asked_max_attempts, can_retry, queue, name, reason, error_class, message,
            detail, fingerprint, first_error, handler_version, tags, retry, retry_strategy, trace_context, data, next_retry_at)
        SELECT g.job_id, j.enqueued_at, moment, j.timeout, j.origin_id, g.attempt, g.failures_now, j.generation,
            g.crashes_now, g.priority, j.asked_priority, g.max_attempts, j.max_attempts, g.next <> 'non_retryable', g.queue,
            g.name, g.next, g.class, coalesce(g.message, ''), g.detail, g.fingerprint,
            coalesce((SELECT a.error_class || ': ' || coalesce(a.message, '') FROM attempts a WHERE a.job_id = g.job_id
                AND a.queue = g.queue AND a.error_class IS NOT NULL ORDER BY a.attempt LIMIT 1),
                g.class || ': ' || coalesce(g.message, '')),
            (SELECT nullif(w.version, '') FROM workers w WHERE w.id = g.worker_id), j.tags, j.retry, g.retry_strategy,
            j.trace_context, j.data,
            CASE WHEN g.next <> 'non_retryable' THEN dead_retry_at(g.queue, j.generation, moment) END
        FROM decided g JOIN jobs j ON j.id = g.job_id AND j.queue = g.queue
        WHERE g.next NOT IN ('completed', 'cancelled', 'waiting', 'retrying')
    )
    SELECT array_agg(ROW(g.job_id, g.attempt, 'accepted',
            CASE WHEN g.next = 'cancelled' THEN 'cancelled' WHEN g.outcome = 'dead' THEN 'failed' ELSE g.outcome END,
            CASE WHEN g.next IN ('completed', 'cancelled', 'waiting', 'retrying') THEN g.next ELSE 'dead' END,
            CASE WHEN g.next IN ('waiting', 'retrying') THEN moment + g.wait END)::endings),
        array_agg(g.job_id), array_agg(g.attempt), array_agg(g.outcome), array_agg(g.name)
    INTO answers, ids, attempt_numbers, ended_outcomes, names FROM decided g;
    IF ids IS NOT NULL AND EXISTS (SELECT FROM breakers b WHERE b.queue = end_attempts.queue) THEN
        PERFORM count_for_breakers(end_attempts.queue, names, ids, attempt_numbers, ARRAY(SELECT CASE WHEN w.outcome = 'completed' THEN false
            WHEN w.outcome IN ('failed', 'dead') THEN true END FROM unnest(ended_outcomes) WITH ORDINALITY w(outcome, nth) ORDER BY w.nth));
    END IF;

    IF EXISTS (SELECT FROM unnest(answers) s WHERE s.run_at < moment + interval '1.5 seconds') THEN
        PERFORM notify_queue(end_attempts.queue);
    END IF;
    RETURN QUERY SELECT s.* FROM unnest(answers) s;
    -- A new statement, so it sees an end that the delete above waited for.
    RETURN QUERY
    SELECT m.job_id, m.attempt, CASE WHEN a.outcome = CASE m.outcome WHEN 'dead' THEN 'failed' ELSE m.outcome END
        -- A requested cancel ended the attempt whatever its outcome was, also when that is repeated (P8).
        OR a.outcome = 'cancelled' AND a.claimed_at IS NOT NULL AND m.outcome <> 'completed' THEN 'already_done' ELSE 'lease_lost' END,
        a.outcome, NULL::text, NULL::timestamptz
    FROM (SELECT u.job_id, u.attempt, u.outcome, u.claimed_at
          FROM unnest(job_ids, end_attempts.attempts, outcomes, claimed_ats) u(job_id, attempt, outcome, claimed_at)
          WHERE NOT EXISTS (SELECT FROM unnest(ids, attempt_numbers, ended_outcomes) e(job_id, attempt, outcome)
              WHERE e.job_id = u.job_id AND e.attempt = u.attempt AND e.outcome = u.outcome)) m
    LEFT JOIN attempts a ON a.job_id = m.job_id AND a.attempt = m.attempt AND a.queue = end_attempts.queue
        AND (m.claimed_at IS NULL OR a.claimed_at = m.claimed_at);
END $$;
