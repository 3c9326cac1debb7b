-- Runs the checks of all that is known about jobs with ids from low to below high. It reads each
-- table once by its key and aggregates by job: some 2 s per million jobs.
CREATE OR REPLACE FUNCTION penstock.verify_jobs(low bigint, high bigint) RETURNS SETOF penstock.verifications
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off
SET max_parallel_workers_per_gather = 0 AS $$
BEGIN
    RETURN QUERY
    -- places: 1 jobs, 2 pending, 4 running, 8 dead_jobs, 16 departures, each at most once by its key.
    WITH facts(id, queue, place, nth, nth_end, nth_bad, at_nth, failures, crashes) AS (
        SELECT j.id, j.queue, 1, NULL::integer, NULL::integer, NULL::integer, NULL::integer, 0, 0
        FROM jobs j WHERE j.id >= low AND j.id < high
        UNION ALL
        SELECT a.job_id, a.queue, 0, a.attempt,
            CASE WHEN a.outcome IN ('completed', 'cancelled', 'expired') THEN a.attempt END,
            CASE WHEN a.outcome IN ('failed', 'lost') THEN a.attempt END,
            NULL, -(a.outcome = 'failed')::integer, -(a.outcome = 'lost')::integer
        FROM attempts a WHERE a.job_id >= low AND a.job_id < high
        UNION ALL
        SELECT p.job_id, p.queue, 2, NULL, NULL, NULL, p.attempt, p.failures, p.crashes
        FROM pending p WHERE p.job_id >= low AND p.job_id < high
        UNION ALL
        SELECT r.job_id, r.queue, 4, NULL, NULL, NULL, r.attempt - 1, r.failures, r.crashes
        FROM running r WHERE r.job_id >= low AND r.job_id < high
        UNION ALL
        SELECT d.job_id, d.queue, 8, NULL, NULL, NULL, d.attempt, 0, 0
        FROM dead_jobs d WHERE d.job_id >= low AND d.job_id < high
        UNION ALL
        SELECT l.job_id, l.queue, 16, NULL, NULL, NULL, l.attempt, 0, 0
        FROM departures l WHERE l.job_id >= low AND l.job_id < high
    ), known AS (
        SELECT f.id, bit_or(f.place) AS places, count(f.nth) AS attempts, coalesce(max(f.nth), 0) AS last, min(f.nth_end) AS ended,
            max(f.nth_bad) AS last_bad, max(f.at_nth) AS at_nth, sum(f.failures) AS failures, sum(f.crashes) AS crashes
        FROM facts f GROUP BY f.id, f.queue
    ), summed AS (
        SELECT count(*) FILTER (WHERE t.places & 1 > 0) AS jobs, count(*) FILTER (WHERE t.places & 2 > 0) AS waits,
            count(*) FILTER (WHERE t.places & 4 > 0) AS runs, count(*) FILTER (WHERE t.places & 8 > 0) AS dead,
            count(*) FILTER (WHERE t.places & 16 > 0) AS gone, count(*) FILTER (WHERE t.attempts > 0) AS tried
        FROM known t
    ), broken(code, ids) AS (
        SELECT b.code, array_agg(t.id ORDER BY t.id) FROM known t CROSS JOIN LATERAL (VALUES
            ('job_nowhere', t.places = 1 AND t.ended IS NULL),
            ('job_in_two_places', t.places NOT IN (0, 1, 2, 3, 4, 5, 8, 9, 16, 17) OR (t.places > 1 AND t.ended IS NOT NULL)),
            ('job_ended_twice', t.ended < t.last),
            ('pending_without_job', t.places & 3 = 2),
            ('running_without_job', t.places & 5 = 4),
            ('dead_without_job', t.places & 9 = 8),
            ('departure_without_job', t.places & 17 = 16),
            ('attempt_without_job', t.places & 1 = 0 AND t.attempts > 0),
            ('attempt_missing', t.attempts <> t.last),
            ('running_already_ended', t.places & 4 > 0 AND t.at_nth < t.last),
            ('attempt_number_wrong', (t.places & 2 > 0 AND t.at_nth <> t.last) OR (t.places & 4 > 0 AND t.at_nth > t.last)),
            ('failures_wrong', t.places & 6 > 0 AND (t.failures <> 0 OR t.crashes <> 0)),
            ('dead_without_attempt', t.places & 24 > 0 AND t.last_bad IS DISTINCT FROM t.at_nth)
            ) b(code, is_so)
        -- Nearly every job is finished by its last attempt, or waits or runs for the first time.
        WHERE (t.attempts = t.last AND ((t.places = 1 AND t.ended = t.last)
                OR (t.places IN (3, 5) AND t.last = 0 AND t.at_nth = 0 AND t.failures = 0 AND t.crashes = 0))) IS NOT TRUE
          AND b.is_so
        GROUP BY b.code
    )
    SELECT c.code, c.checked, coalesce(cardinality(b.ids), 0)::bigint, coalesce(b.ids[1:5]::text[], '{}')
    FROM summed s CROSS JOIN LATERAL (VALUES
        ('job_nowhere', s.jobs), ('job_in_two_places', s.jobs), ('job_ended_twice', s.tried), ('pending_without_job', s.waits),
        ('running_without_job', s.runs), ('dead_without_job', s.dead), ('departure_without_job', s.gone),
        ('attempt_without_job', s.tried), ('attempt_missing', s.tried), ('running_already_ended', s.runs),
        ('attempt_number_wrong', s.waits + s.runs), ('failures_wrong', s.waits + s.runs), ('dead_without_attempt', s.dead + s.gone)
        ) c(code, checked)
    LEFT JOIN broken b ON b.code = c.code;

    -- An origin whose partition is gone may have been deleted (prune_departures).
    RETURN QUERY
    WITH redriven AS (
        SELECT j.id, l.new_job_id IS DISTINCT FROM j.id OR o.generation + 1 <> j.generation AS broken
        FROM jobs j
        LEFT JOIN departures l ON l.job_id = j.origin_id AND l.queue = j.queue
        LEFT JOIN jobs o ON o.id = j.origin_id AND o.queue = j.queue
        WHERE j.id >= low AND j.id < high AND j.origin_id IS NOT NULL
          AND EXISTS (SELECT FROM partitions p WHERE j.origin_id >= p.first_day * 100000000000 AND j.origin_id < (p.last_day + 1) * 100000000000)
    )
    SELECT 'redrive_without_departure', count(*), count(*) FILTER (WHERE r.broken),
        coalesce((array_agg(r.id) FILTER (WHERE r.broken))[1:5]::text[], '{}') FROM redriven r;
END $$;
