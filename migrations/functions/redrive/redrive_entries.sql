-- Redrives jobs that are still dead by this attempt and whose generation is below the cap. Each
-- becomes a new job with origin_id and generation + 1, due now. It returns the new ids. Entries
-- that another session has locked are skipped. new_data replaces the data of a single entry.
-- Indexes: the primary keys of dead_jobs and jobs. Locks: the entries, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.redrive_entries(ids bigint[], attempts integer[], cap integer DEFAULT 100,
    new_data jsonb DEFAULT NULL, redrive_id bigint DEFAULT NULL) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    first_id CONSTANT bigint := job_day() * 100000000000;
    moment   CONSTANT timestamptz := clock_timestamp();
    who      CONSTANT text := actor();
    fresh    bigint[];
    queues   text[];
BEGIN
    WITH wanted AS MATERIALIZED (
        SELECT d.job_id, d.queue FROM unnest(ids, redrive_entries.attempts) u(job_id, attempt)
        JOIN dead_jobs d ON d.job_id = u.job_id AND d.attempt = u.attempt
        WHERE d.generation < cap
        ORDER BY d.job_id FOR UPDATE OF d SKIP LOCKED
    ), gone AS MATERIALIZED (
        DELETE FROM dead_jobs d USING wanted w WHERE d.job_id = w.job_id AND d.queue = w.queue RETURNING d.*
    ), again AS MATERIALIZED (
        SELECT first_id + nextval('job_sequence') AS id, g.* FROM gone g
    ), kept AS (
        INSERT INTO jobs (id, queue, name, data, enqueued_at, timeout, asked_priority, max_attempts, tags, retry,
            trace_context, origin_id, generation)
        SELECT a.id, a.queue, a.name, coalesce(new_data, a.data), moment, a.timeout, a.asked_priority,
            a.asked_max_attempts, a.tags, a.retry, a.trace_context, a.job_id, a.generation + 1 FROM again a
    ), waiting AS (
        INSERT INTO pending (queue, priority, run_at, job_id, name, attempt, failures, crashes, timeout)
        SELECT a.queue, a.priority, moment, a.id, a.name, 0, 0, 0, a.timeout FROM again a
    ), noted AS (
        INSERT INTO departures (job_id, departed_at, new_job_id, redrive_id, attempt, queue, how, actor)
        SELECT a.job_id, moment, a.id, redrive_entries.redrive_id, a.attempt, a.queue, 'redriven', who FROM again a
    ), tallied AS (
        INSERT INTO tallies (at, queue, outcome, jobs) SELECT moment, a.queue, 'enqueued', count(*) FROM again a GROUP BY a.queue
    )
    SELECT array_agg(a.id ORDER BY a.id), array_agg(DISTINCT a.queue) INTO fresh, queues FROM again a;
    PERFORM notify_queue(q) FROM unnest(queues) q;
    RETURN coalesce(fresh, '{}');
END $$;
