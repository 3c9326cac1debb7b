-- Ends attempts of one queue as their worker reports them. The arrays have one element per
-- attempt; without outcomes all are completed. Returns one row per attempt given; a stale
-- one changes nothing and says lease_lost, a repeated one already_done (P5, P8).
-- claimed_ats: see complete_many. A row that another transaction keeps locked fails the
-- call after 100 ms (55P03); with skip_locked it is passed over and says locked, and the
-- others end. Locks the rows of running in the order of their ids; served by its key.
CREATE OR REPLACE FUNCTION penstock.finish(queue text, job_ids bigint[], attempts integer[], outcomes text[] DEFAULT NULL,
    error_classes text[] DEFAULT NULL, messages text[] DEFAULT NULL, details text[] DEFAULT NULL,
    results jsonb[] DEFAULT NULL, delays interval[] DEFAULT NULL, claimed_ats timestamptz[] DEFAULT NULL,
    skip_locked boolean DEFAULT false)
RETURNS SETOF penstock.endings
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off
SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
DECLARE
    n           CONSTANT integer := coalesce(cardinality(job_ids), 0);
    others      endings[];
    bad_outcome text;
    unlocked    bigint[];
    kept        integer[];
BEGIN
    IF cardinality(finish.attempts) IS DISTINCT FROM n AND n > 0 THEN
        PERFORM refuse('attempts', 'as many as job_ids', cardinality(finish.attempts)::text);
    ELSIF cardinality(claimed_ats) <> n THEN
        PERFORM refuse('claimed_ats', 'as many as job_ids', cardinality(claimed_ats)::text);
    ELSIF num_nulls(outcomes, error_classes, messages, details, results, delays) = 6 AND skip_locked IS NOT TRUE THEN
        others := ARRAY(SELECT c FROM complete_many(finish.queue, job_ids, finish.attempts, claimed_ats) c);
        RETURN QUERY
        SELECT d.job_id, d.attempt, 'accepted', 'completed', 'completed', NULL::timestamptz
        FROM (SELECT u.job_id, u.attempt FROM unnest(job_ids, finish.attempts) u(job_id, attempt)
              EXCEPT SELECT o.job_id, o.attempt FROM unnest(others) o) d;
        RETURN QUERY SELECT o.* FROM unnest(others) o;
        RETURN;
    END IF;
    outcomes := coalesce(outcomes, array_fill('completed'::text, ARRAY[n]));
    SELECT o INTO bad_outcome FROM unnest(outcomes) o
    WHERE o IS NULL OR o NOT IN ('completed', 'failed', 'dead', 'snoozed', 'released', 'cancelled') LIMIT 1;
    IF found THEN
        PERFORM refuse('outcomes', 'of completed, failed, dead, snoozed, released, cancelled', bad_outcome);
    ELSIF (outcomes IS NOT NULL AND cardinality(outcomes) <> n) OR cardinality(error_classes) <> n
        OR cardinality(messages) <> n OR cardinality(details) <> n OR cardinality(results) <> n
        OR cardinality(delays) <> n THEN
        PERFORM refuse('outcomes', 'as many as job_ids, as every array', n::text);
    ELSIF EXISTS (SELECT FROM unnest(results) r WHERE r IS NOT NULL AND coalesce(json_bytes(r), 1048577) > 1048576) THEN
        PERFORM refuse('results', 'JSON of at most 1048576 bytes each', 'more');
    ELSIF EXISTS (SELECT FROM unnest(delays) d WHERE d > interval '366 days') THEN
        PERFORM refuse('delays', 'at most 366 days', (SELECT max(d) FROM unnest(delays) d)::text);
    END IF;
    IF skip_locked THEN
        -- What can be locked now; what is left and still running is another transaction's.
        unlocked := ARRAY(SELECT r.job_id FROM (
            SELECT u.job_id, u.attempt, finish.queue AS queue FROM unnest(job_ids, finish.attempts) u(job_id, attempt) ORDER BY u.job_id) s
            JOIN running r ON r.job_id = ANY (ARRAY[s.job_id]) AND r.queue = s.queue AND r.attempt = s.attempt
            FOR UPDATE OF r SKIP LOCKED);
        kept := ARRAY(SELECT i.n FROM generate_subscripts(job_ids, 1) i(n)
            WHERE job_ids[i.n] = ANY (unlocked) OR NOT EXISTS (SELECT FROM running r
                WHERE r.job_id = job_ids[i.n] AND r.queue = finish.queue AND r.attempt = finish.attempts[i.n]));
        RETURN QUERY SELECT job_ids[i.n], finish.attempts[i.n], 'locked', NULL::text, NULL::text, NULL::timestamptz
            FROM generate_subscripts(job_ids, 1) i(n) WHERE i.n <> ALL (kept);
        RETURN QUERY SELECT s.* FROM end_attempts(finish.queue, ARRAY(SELECT job_ids[k] FROM unnest(kept) k),
            ARRAY(SELECT finish.attempts[k] FROM unnest(kept) k), ARRAY(SELECT outcomes[k] FROM unnest(kept) k),
            ARRAY(SELECT error_classes[k] FROM unnest(kept) k), ARRAY(SELECT messages[k] FROM unnest(kept) k),
            ARRAY(SELECT details[k] FROM unnest(kept) k), ARRAY(SELECT results[k] FROM unnest(kept) k),
            ARRAY(SELECT delays[k] FROM unnest(kept) k), ARRAY(SELECT claimed_ats[k] FROM unnest(kept) k)) s;
        RETURN;
    END IF;
    RETURN QUERY SELECT s.* FROM end_attempts(finish.queue, job_ids, finish.attempts, outcomes, error_classes, messages,
        details, results, delays, claimed_ats) s;
END $$;
