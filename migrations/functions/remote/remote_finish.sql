-- Ends attempts for a remote worker, as finish does. It counts for the worker's own attempts only:
-- those of others get lease_lost, like stale ones. The worker need not be alive: a result that
-- comes after its burial is rejected by the attempt number, and a repeated one is already_done.
CREATE OR REPLACE FUNCTION penstock.remote_finish(worker_id bigint, owner text, queue text, job_ids bigint[], attempts integer[],
    outcomes text[] DEFAULT NULL, error_classes text[] DEFAULT NULL, messages text[] DEFAULT NULL,
    details text[] DEFAULT NULL, results jsonb[] DEFAULT NULL, delays interval[] DEFAULT NULL)
RETURNS SETOF penstock.endings
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
    others bigint[];
BEGIN
    UPDATE workers w SET beat = beat + 1, beat_at = clock_timestamp()
    WHERE w.id = remote_finish.worker_id AND w.owner = remote_finish.owner;
    IF NOT found AND EXISTS (SELECT FROM workers w WHERE w.id = remote_finish.worker_id) THEN
        PERFORM remote_beat(remote_finish.worker_id, remote_finish.owner); -- refuses a worker of another owner
    END IF;
    others := ARRAY(SELECT r.job_id FROM unnest(job_ids) u(job_id)
        JOIN running r ON r.job_id = u.job_id AND r.queue = remote_finish.queue
        WHERE r.worker_id <> remote_finish.worker_id);
    IF others = '{}' THEN
        RETURN QUERY SELECT e.* FROM finish(remote_finish.queue, job_ids, remote_finish.attempts, outcomes, error_classes,
            messages, details, results, delays) e;
        RETURN;
    END IF;
    RETURN QUERY SELECT u.job_id, u.attempt, 'lease_lost', NULL::text, NULL::text, NULL::timestamptz
        FROM unnest(job_ids, remote_finish.attempts) u(job_id, attempt) WHERE u.job_id = ANY (others);
    RETURN QUERY SELECT e.* FROM (
        SELECT array_agg(i.n) AS kept FROM generate_subscripts(job_ids, 1) i(n) WHERE job_ids[i.n] <> ALL (others)) own,
        LATERAL finish(remote_finish.queue,
            ARRAY(SELECT job_ids[n] FROM unnest(own.kept) n), ARRAY(SELECT remote_finish.attempts[n] FROM unnest(own.kept) n),
            CASE WHEN outcomes IS NOT NULL THEN ARRAY(SELECT outcomes[n] FROM unnest(own.kept) n) END,
            CASE WHEN error_classes IS NOT NULL THEN ARRAY(SELECT error_classes[n] FROM unnest(own.kept) n) END,
            CASE WHEN messages IS NOT NULL THEN ARRAY(SELECT messages[n] FROM unnest(own.kept) n) END,
            CASE WHEN details IS NOT NULL THEN ARRAY(SELECT details[n] FROM unnest(own.kept) n) END,
            CASE WHEN results IS NOT NULL THEN ARRAY(SELECT results[n] FROM unnest(own.kept) n) END,
            CASE WHEN delays IS NOT NULL THEN ARRAY(SELECT delays[n] FROM unnest(own.kept) n) END) e
    WHERE own.kept IS NOT NULL;
END $$;
