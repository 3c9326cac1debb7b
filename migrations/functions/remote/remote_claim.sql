-- Leases up to max_jobs due jobs of the queues of a remote worker (of those in from_queues, if
-- given), queue by queue in their order. The same claim_id again returns what it leased before and
-- is still leased; when all of that has ended, it claims again. Only the last claims are kept:
-- repeat an id at once or never.
CREATE OR REPLACE FUNCTION penstock.remote_claim(worker_id bigint, owner text, claim_id text, max_jobs integer,
    from_queues text[] DEFAULT NULL, default_timeout interval DEFAULT '5 minutes') RETURNS SETOF penstock.leases
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
    me              workers;
    foreign_        text;
    its             text;
    lease           leases;
    ids             bigint[] := '{}';
    attempt_numbers integer[] := '{}';
BEGIN
    IF claim_id IS NULL OR remote_claim.claim_id !~ '^[A-Za-z0-9._:-]{1,64}$' THEN
        PERFORM refuse('claim_id', '1 to 64 of letters, digits and . _ - :', remote_claim.claim_id);
    ELSIF max_jobs IS NULL OR max_jobs NOT BETWEEN 1 AND 1000 THEN
        PERFORM refuse('max_jobs', '1 to 1000', max_jobs::text);
    END IF;
    me := remote_beat(remote_claim.worker_id, remote_claim.owner);
    SELECT q INTO foreign_ FROM unnest(from_queues) q WHERE q <> ALL (me.queues) OR q IS NULL LIMIT 1;
    IF found THEN
        PERFORM refuse('queues', 'of those the worker registered for', foreign_);
    END IF;
    RETURN QUERY
    SELECT l.* FROM remote_claims c, unnest(c.job_ids, c.attempts) u(job_id, attempt)
    JOIN LATERAL (SELECT r.queue FROM running r WHERE r.job_id = u.job_id AND r.attempt = u.attempt
        AND r.worker_id = remote_claim.worker_id) mine ON true
    JOIN LATERAL (SELECT l.* FROM leases l WHERE l.job_id = u.job_id AND l.queue = mine.queue) l ON true
    WHERE c.worker_id = remote_claim.worker_id AND c.claim_id = remote_claim.claim_id;
    IF found THEN
        RETURN;
    END IF;
    FOREACH its IN ARRAY coalesce(from_queues, me.queues) LOOP
        FOR lease IN SELECT c.* FROM claim(its, remote_claim.worker_id, max_jobs - cardinality(ids), default_timeout) c LOOP
            ids := ids || lease.job_id;
            attempt_numbers := attempt_numbers || lease.attempt;
            RETURN NEXT lease;
        END LOOP;
        EXIT WHEN cardinality(ids) >= max_jobs;
    END LOOP;
    IF ids <> '{}' THEN
        INSERT INTO remote_claims AS c VALUES (remote_claim.worker_id, clock_timestamp(), remote_claim.claim_id, ids, attempt_numbers)
        ON CONFLICT (worker_id, claim_id) DO UPDATE SET claimed_at = excluded.claimed_at, job_ids = excluded.job_ids,
            attempts = excluded.attempts;
    END IF;
END $$;
