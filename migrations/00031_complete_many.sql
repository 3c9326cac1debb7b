-- The short way of finish as a function of its own, which answers only what is out of
-- the ordinary. Safe on a live database: only functions are made and replaced.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
-- +goose StatementBegin
-- Completes attempts of one queue that have nothing to say beside: the short way that
-- most attempts take, one delete and one insert. Answers one row, in finish's words,
-- for each that it did not accept, so that as a rule nothing is built, sent and read.
CREATE FUNCTION penstock.complete_many(queue text, job_ids bigint[], attempts integer[])
RETURNS SETOF penstock.endings
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off
-- A row that a handler's open transaction keeps must not hold up everybody's results.
SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    n      CONSTANT integer := coalesce(cardinality(job_ids), 0);
    moment CONSTANT timestamptz := clock_timestamp();
    broken CONSTANT boolean := EXISTS (SELECT FROM breakers b WHERE b.queue = complete_many.queue);
    names  text[];
    ids    bigint[];
    nths   integer[];
BEGIN
    IF cardinality(complete_many.attempts) IS DISTINCT FROM n AND n > 0 THEN
        PERFORM refuse('attempts', 'as many as job_ids', cardinality(complete_many.attempts)::text);
    END IF;
    -- The queue passes through said, and = ANY keeps job_id from being a merge key: with
    -- a constant, or an order to scan by, the planner that believes running empty
    -- would scan all of it for each id instead of probing.
    WITH said AS MATERIALIZED (
        SELECT u.job_id, u.attempt, complete_many.queue AS queue FROM unnest(job_ids, complete_many.attempts) u(job_id, attempt)
        ORDER BY u.job_id
    ), ended AS (
        DELETE FROM running r USING said s
        WHERE r.job_id = ANY (ARRAY[s.job_id]) AND r.queue = s.queue AND r.attempt = s.attempt
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
    INTO names, ids, nths FROM ended e;
    IF names IS NOT NULL THEN
        PERFORM count_for_breakers(complete_many.queue, names, ids, nths, array_fill(false, ARRAY[cardinality(ids)]));
    END IF;
    IF coalesce(cardinality(ids), 0) < n THEN
        -- A new statement, so it sees an end that the delete above waited for.
        RETURN QUERY
        SELECT m.job_id, m.attempt, CASE a.outcome WHEN 'completed' THEN 'already_done' ELSE 'lease_lost' END,
            a.outcome, NULL::text, NULL::timestamptz
        FROM (SELECT u.job_id, u.attempt FROM unnest(job_ids, complete_many.attempts) u(job_id, attempt)
              EXCEPT SELECT e.job_id, e.attempt FROM unnest(ids, nths) e(job_id, attempt)) m
        LEFT JOIN attempts a ON a.job_id = m.job_id AND a.attempt = m.attempt AND a.queue = complete_many.queue;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Ends attempts of one queue by their worker's word: settle's arrays, all of one
-- length, without lost. Left out, outcomes are all completed and the rest none:
-- the short way, complete_many. Answers one row per attempt given; a stale one
-- changes nothing and says lease_lost.
CREATE OR REPLACE FUNCTION penstock.finish(queue text, job_ids bigint[], attempts integer[], outcomes text[] DEFAULT NULL,
    error_classes text[] DEFAULT NULL, messages text[] DEFAULT NULL, details text[] DEFAULT NULL,
    results jsonb[] DEFAULT NULL, delays interval[] DEFAULT NULL)
RETURNS SETOF penstock.endings
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off
-- A row that a handler's open transaction keeps must not hold up everybody's results.
SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    n      CONSTANT integer := coalesce(cardinality(job_ids), 0);
    others endings[];
    odd    text;
BEGIN
    IF cardinality(finish.attempts) IS DISTINCT FROM n AND n > 0 THEN
        PERFORM refuse('attempts', 'as many as job_ids', cardinality(finish.attempts)::text);
    ELSIF num_nulls(outcomes, error_classes, messages, details, results, delays) = 6 THEN
        others := ARRAY(SELECT c FROM complete_many(finish.queue, job_ids, finish.attempts) c);
        RETURN QUERY
        SELECT d.job_id, d.attempt, 'accepted', 'completed', 'completed', NULL::timestamptz
        FROM (SELECT u.job_id, u.attempt FROM unnest(job_ids, finish.attempts) u(job_id, attempt)
              EXCEPT SELECT o.job_id, o.attempt FROM unnest(others) o) d;
        RETURN QUERY SELECT o.* FROM unnest(others) o;
        RETURN;
    END IF;
    outcomes := coalesce(outcomes, array_fill('completed'::text, ARRAY[n]));
    SELECT o INTO odd FROM unnest(outcomes) o
    WHERE o IS NULL OR o NOT IN ('completed', 'failed', 'dead', 'snoozed', 'released', 'cancelled') LIMIT 1;
    IF found THEN
        PERFORM refuse('outcomes', 'of completed, failed, dead, snoozed, released, cancelled', odd);
    ELSIF (outcomes IS NOT NULL AND cardinality(outcomes) <> n) OR cardinality(error_classes) <> n
        OR cardinality(messages) <> n OR cardinality(details) <> n OR cardinality(results) <> n
        OR cardinality(delays) <> n THEN
        PERFORM refuse('outcomes', 'as many as job_ids, as every array', n::text);
    ELSIF EXISTS (SELECT FROM unnest(results) r WHERE r IS NOT NULL AND coalesce(json_bytes(r), 1048577) > 1048576) THEN
        PERFORM refuse('results', 'JSON of at most 1048576 bytes each', 'more');
    ELSIF EXISTS (SELECT FROM unnest(delays) d WHERE d > interval '366 days') THEN
        PERFORM refuse('delays', 'at most 366 days', (SELECT max(d) FROM unnest(delays) d)::text);
    END IF;
    RETURN QUERY SELECT s.* FROM settle(finish.queue, job_ids, finish.attempts, outcomes, error_classes, messages,
        details, results, delays) s;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION penstock.complete_many(text, bigint[], integer[]) FROM PUBLIC;

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.finish(queue text, job_ids bigint[], attempts integer[], outcomes text[] DEFAULT NULL,
    error_classes text[] DEFAULT NULL, messages text[] DEFAULT NULL, details text[] DEFAULT NULL,
    results jsonb[] DEFAULT NULL, delays interval[] DEFAULT NULL)
RETURNS SETOF penstock.endings
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off
-- A row that a handler's open transaction keeps must not hold up everybody's results.
SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    n      CONSTANT integer := coalesce(cardinality(job_ids), 0);
    moment CONSTANT timestamptz := clock_timestamp();
    broken CONSTANT boolean := EXISTS (SELECT FROM breakers b WHERE b.queue = finish.queue);
    settled endings[];
    names  text[];
    ids    bigint[];
    nths   integer[];
    odd    text;
BEGIN
    IF cardinality(finish.attempts) IS DISTINCT FROM n AND n > 0 THEN
        PERFORM refuse('attempts', 'as many as job_ids', cardinality(finish.attempts)::text);
    ELSIF num_nulls(outcomes, error_classes, messages, details, results, delays) = 6 THEN
        -- The queue passes through said, and = ANY keeps job_id from being a merge key: with
        -- a constant, or an order to scan by, the planner that believes running empty
        -- would scan all of it for each id instead of probing.
        WITH said AS MATERIALIZED (
            SELECT u.job_id, u.attempt, finish.queue AS queue FROM unnest(job_ids, finish.attempts) u(job_id, attempt)
            ORDER BY u.job_id
        ), ended AS (
            DELETE FROM running r USING said s
            WHERE r.job_id = ANY (ARRAY[s.job_id]) AND r.queue = s.queue AND r.attempt = s.attempt
            RETURNING r.*
        ), noted AS (
            INSERT INTO attempts (job_id, attempt, queue, name, priority, worker_id, run_at, claimed_at, finished_at, outcome,
                progress, progress_note)
            SELECT e.job_id, e.attempt, e.queue, e.name, e.priority, e.worker_id, e.run_at, e.claimed_at, moment, 'completed',
                e.progress, e.progress_note
            FROM ended e
        ), tallied AS (
            INSERT INTO tallies (at, queue, name, outcome, claimed_at, jobs, run_ats, jobs_each)
            SELECT moment, finish.queue, d.name, 'completed', d.claimed_at, sum(d.jobs), array_agg(d.run_at), array_agg(d.jobs)
            FROM (SELECT e.name, e.claimed_at, e.run_at, count(*) AS jobs FROM ended e GROUP BY 1, 2, 3) d
            GROUP BY d.name, d.claimed_at
        )
        SELECT array_agg(ROW(e.job_id, e.attempt, 'accepted', 'completed', 'completed', NULL)::endings),
            CASE WHEN broken THEN array_agg(e.name) END, array_agg(e.job_id), array_agg(e.attempt)
        INTO settled, names, ids, nths FROM ended e;
        IF names IS NOT NULL THEN
            PERFORM count_for_breakers(finish.queue, names, ids, nths, array_fill(false, ARRAY[cardinality(ids)]));
        END IF;
        RETURN QUERY SELECT s.* FROM unnest(settled) s;
        IF coalesce(cardinality(settled), 0) < n THEN
            RETURN QUERY
            SELECT m.job_id, m.attempt, CASE a.outcome WHEN 'completed' THEN 'already_done' ELSE 'lease_lost' END,
                a.outcome, NULL::text, NULL::timestamptz
            FROM (SELECT u.job_id, u.attempt FROM unnest(job_ids, finish.attempts) u(job_id, attempt)
                  EXCEPT SELECT s.job_id, s.attempt FROM unnest(settled) s) m
            LEFT JOIN attempts a ON a.job_id = m.job_id AND a.attempt = m.attempt AND a.queue = finish.queue;
        END IF;
        RETURN;
    END IF;
    outcomes := coalesce(outcomes, array_fill('completed'::text, ARRAY[n]));
    SELECT o INTO odd FROM unnest(outcomes) o
    WHERE o IS NULL OR o NOT IN ('completed', 'failed', 'dead', 'snoozed', 'released', 'cancelled') LIMIT 1;
    IF found THEN
        PERFORM refuse('outcomes', 'of completed, failed, dead, snoozed, released, cancelled', odd);
    ELSIF (outcomes IS NOT NULL AND cardinality(outcomes) <> n) OR cardinality(error_classes) <> n
        OR cardinality(messages) <> n OR cardinality(details) <> n OR cardinality(results) <> n
        OR cardinality(delays) <> n THEN
        PERFORM refuse('outcomes', 'as many as job_ids, as every array', n::text);
    ELSIF EXISTS (SELECT FROM unnest(results) r WHERE r IS NOT NULL AND coalesce(json_bytes(r), 1048577) > 1048576) THEN
        PERFORM refuse('results', 'JSON of at most 1048576 bytes each', 'more');
    ELSIF EXISTS (SELECT FROM unnest(delays) d WHERE d > interval '366 days') THEN
        PERFORM refuse('delays', 'at most 366 days', (SELECT max(d) FROM unnest(delays) d)::text);
    END IF;
    RETURN QUERY SELECT s.* FROM settle(finish.queue, job_ids, finish.attempts, outcomes, error_classes, messages,
        details, results, delays) s;
END $$;
-- +goose StatementEnd

DROP FUNCTION penstock.complete_many(text, bigint[], integer[]);
