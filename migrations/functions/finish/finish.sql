-- Ends attempts of one queue for their worker. The arguments are those of end_attempts, all
-- of one length, without the outcome lost. If outcomes is left out, all are completed and have
-- no result: complete_many does that. Otherwise it returns one row per attempt given; a stale
-- attempt changes nothing and its status is lease_lost.
-- Indexes and locks: those of end_attempts; a row that another transaction has locked is
-- waited for at most 2 s (lock_timeout).
CREATE OR REPLACE FUNCTION penstock.finish(queue text, job_ids bigint[], attempts integer[], outcomes text[] DEFAULT NULL,
    error_classes text[] DEFAULT NULL, messages text[] DEFAULT NULL, details text[] DEFAULT NULL,
    results jsonb[] DEFAULT NULL, delays interval[] DEFAULT NULL)
RETURNS SETOF penstock.endings
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off
-- A row that a handler's open transaction has locked must not delay all other results.
SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    n           CONSTANT integer := coalesce(cardinality(job_ids), 0);
    others      endings[];
    bad_outcome text;
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
    RETURN QUERY SELECT s.* FROM end_attempts(finish.queue, job_ids, finish.attempts, outcomes, error_classes, messages,
        details, results, delays) s;
END $$;
