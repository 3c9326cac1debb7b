-- Of the attempts that a worker says it holds, returns the job ids of those that are not
-- leased to it any more: they were ended by their deadline or by somebody's call, and their
-- handlers should stop. The arrays have one element per attempt. Locks nothing; served by
-- the key of running.
CREATE OR REPLACE FUNCTION penstock.lost_leases(worker_id bigint, queues text[], job_ids bigint[], attempts integer[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF cardinality(lost_leases.job_ids) > 10000 THEN
        PERFORM refuse('job_ids', 'at most 10000', cardinality(lost_leases.job_ids)::text);
    END IF;
    RETURN ARRAY(SELECT h.job_id FROM unnest(lost_leases.queues, lost_leases.job_ids, lost_leases.attempts) h(queue, job_id, attempt)
        WHERE NOT EXISTS (SELECT FROM running r WHERE r.job_id = h.job_id AND r.queue = h.queue AND r.attempt = h.attempt
            AND r.worker_id = lost_leases.worker_id));
END $$;
