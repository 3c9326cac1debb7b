-- Completes attempts of one queue that have no result: the fast path that most attempts
-- take, one DELETE and one INSERT. It returns a row, as finish does, only for attempts that it
-- did not accept, so usually nothing is built, sent or read.
-- claimed_ats are the times of the claims. A worker that outlives a failover or a restore may
-- hold a (job, attempt) that the database has given to another job since; only the time of the
-- claim tells them apart (P5). An array that is left out, or a null in it, is not compared.
-- Indexes: the primary keys of running, attempts and breakers. Locks: the attempts' rows of
-- running, in the order of ids, waiting at most 100 ms (lock_timeout); finish with skip_locked
-- then ends the others.
CREATE OR REPLACE FUNCTION penstock.complete_many(queue text, job_ids bigint[], attempts integer[],
    claimed_ats timestamptz[] DEFAULT NULL)
RETURNS SETOF penstock.endings
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off
-- A row that a handler's open transaction has locked must not delay all other results.
SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
DECLARE
    n               CONSTANT integer := coalesce(cardinality(job_ids), 0);
    moment          CONSTANT timestamptz := clock_timestamp();
    broken          CONSTANT boolean := EXISTS (SELECT FROM breakers b WHERE b.queue = complete_many.queue);
    names           text[];
    ids             bigint[];
    attempt_numbers integer[];
BEGIN
    IF cardinality(complete_many.attempts) IS DISTINCT FROM n AND n > 0 THEN
        PERFORM refuse('attempts', 'as many as job_ids', cardinality(complete_many.attempts)::text);
    END IF;
    -- The queue passes through said, and = ANY keeps job_id from being a merge key: with
    -- a constant, or an order to scan by, the planner that believes running empty
    -- would scan all of it for each id instead of probing.
    WITH said AS MATERIALIZED (
        SELECT u.job_id, u.attempt, u.claimed_at, complete_many.queue AS queue
        FROM unnest(job_ids, complete_many.attempts, claimed_ats) u(job_id, attempt, claimed_at)
        ORDER BY u.job_id
    ), ended AS (
        DELETE FROM running r USING said s
        WHERE r.job_id = ANY (ARRAY[s.job_id]) AND r.queue = s.queue AND r.attempt = s.attempt
            AND (s.claimed_at IS NULL OR r.claimed_at = s.claimed_at)
        RETURNING r.*
    ), noted AS (
        INSERT INTO attempts (job_id, attempt, queue, name, priority, worker_id, run_at, claimed_at, finished_at, outcome,
            progress, progress_note)
        SELECT e.job_id, e.attempt, e.queue, e.name, e.priority, e.worker_id, e.run_at, e.claimed_at, moment, 'completed',
            e.progress, e.progress_note
        FROM ended e
    ), tallied AS (
        INSERT INTO tallies (at, queue, name, outcome, claimed_at, jobs, run_ats, jobs_each)
        SELECT moment, complete_many.queue, d.name, 'completed', d.claimed_at, sum(d.jobs), array_agg(d.run_at), array_agg(d.jobs)
        FROM (SELECT e.name, e.claimed_at, e.run_at, count(*) AS jobs FROM ended e GROUP BY 1, 2, 3) d
        GROUP BY d.name, d.claimed_at
    )
    SELECT CASE WHEN broken THEN array_agg(e.name) END, array_agg(e.job_id), array_agg(e.attempt)
    INTO names, ids, attempt_numbers FROM ended e;
    IF names IS NOT NULL THEN
        PERFORM count_for_breakers(complete_many.queue, names, ids, attempt_numbers, array_fill(false, ARRAY[cardinality(ids)]));
    END IF;
    IF coalesce(cardinality(ids), 0) < n THEN
        -- A new statement, so it sees an end that the delete above waited for.
        RETURN QUERY
        SELECT m.job_id, m.attempt, CASE a.outcome WHEN 'completed' THEN 'already_done' ELSE 'lease_lost' END,
            a.outcome, NULL::text, NULL::timestamptz
        FROM (SELECT u.job_id, u.attempt, u.claimed_at
              FROM unnest(job_ids, complete_many.attempts, claimed_ats) u(job_id, attempt, claimed_at)
              WHERE NOT EXISTS (SELECT FROM unnest(ids, attempt_numbers) e(job_id, attempt)
                  WHERE e.job_id = u.job_id AND e.attempt = u.attempt)) m
        LEFT JOIN attempts a ON a.job_id = m.job_id AND a.attempt = m.attempt AND a.queue = complete_many.queue
            AND (m.claimed_at IS NULL OR a.claimed_at = m.claimed_at);
    END IF;
END $$;
