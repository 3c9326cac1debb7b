-- Records a heartbeat of a remote worker. cancels has its jobs whose cancel was requested; lost
-- has the attempts that it holds by its own account and that are not its any more. If it gives
-- what it holds, all else that claims older than 15 s leased to it is released: their replies
-- were lost.
CREATE OR REPLACE FUNCTION penstock.remote_heartbeat(worker_id bigint, owner text, held_ids bigint[] DEFAULT NULL,
    held_attempts integer[] DEFAULT NULL, OUT cancels bigint[], OUT lost bigint[], OUT released integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
    stale running[];
BEGIN
    IF cardinality(held_ids) IS DISTINCT FROM cardinality(held_attempts) THEN
        PERFORM refuse('held_attempts', 'as many as held_ids', cardinality(held_attempts)::text);
    ELSIF cardinality(held_ids) > 10000 THEN
        PERFORM refuse('held_ids', 'at most 10000', cardinality(held_ids)::text);
    END IF;
    PERFORM remote_beat(remote_heartbeat.worker_id, remote_heartbeat.owner);
    released := 0;
    IF held_ids IS NOT NULL THEN
        -- In the order of ids, as every verb locks them.
        SELECT array_agg(r ORDER BY (r).job_id) INTO stale
        FROM remote_claims c, unnest(c.job_ids, c.attempts) u(job_id, attempt)
        JOIN LATERAL (SELECT r FROM running r WHERE r.job_id = u.job_id AND r.attempt = u.attempt
            AND r.worker_id = remote_heartbeat.worker_id) mine ON true
        WHERE c.worker_id = remote_heartbeat.worker_id AND c.claimed_at < clock_timestamp() - interval '15 seconds'
          AND u.job_id <> ALL (held_ids);
        released := end_running(stale, 'released', '', '');
    END IF;
    -- A claim is kept until a heartbeat could have named its jobs, and its id until no one repeats it.
    DELETE FROM remote_claims c
    WHERE c.worker_id = remote_heartbeat.worker_id AND c.claimed_at < clock_timestamp() - interval '1 minute'
      AND NOT EXISTS (SELECT FROM unnest(c.job_ids, c.attempts) u(job_id, attempt)
          JOIN running r ON r.job_id = u.job_id AND r.attempt = u.attempt AND r.worker_id = c.worker_id);
    cancels := ARRAY(SELECT r.job_id FROM running r
        WHERE r.worker_id = remote_heartbeat.worker_id AND r.cancel_requested ORDER BY r.job_id);
    lost := ARRAY(SELECT h.job_id FROM unnest(held_ids, held_attempts) h(job_id, attempt)
        WHERE NOT EXISTS (SELECT FROM running r WHERE r.job_id = h.job_id AND r.attempt = h.attempt
            AND r.worker_id = remote_heartbeat.worker_id) ORDER BY h.job_id);
END $$;
