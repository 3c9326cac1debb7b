-- Runs the checks of what is not found by the id of a job.
CREATE OR REPLACE FUNCTION penstock.verify_rest() RETURNS SETOF penstock.verifications
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET jit = off
SET max_parallel_workers_per_gather = 0 AS $$
BEGIN
    RETURN QUERY
    WITH kept AS MATERIALIZED (
        SELECT p.first_day * 100000000000 AS low, (p.last_day + 1) * 100000000000 AS high FROM partitions p
    ), bounds AS (
        SELECT range_agg(int8range(k.low, k.high)) AS ids FROM kept k
    ), seen(code, subject, broken) AS (
        -- Those within partitions were checked by their ids.
        SELECT 'pending_without_job', p.job_id::text, true FROM pending p, bounds b WHERE NOT b.ids @> p.job_id
        UNION ALL
        SELECT 'running_without_job', r.job_id::text, true FROM running r, bounds b WHERE NOT b.ids @> r.job_id
        UNION ALL
        SELECT 'running_without_worker', r.job_id::text, NOT EXISTS (SELECT FROM workers w WHERE w.id = r.worker_id) FROM running r
        UNION ALL
        SELECT 'key_without_job', k.job_id::text, j.id IS NULL
        FROM bounds b, idempotency_keys k LEFT JOIN jobs j ON j.id = k.job_id AND j.queue = k.queue WHERE b.ids @> k.job_id
        UNION ALL
        SELECT 'redriven_job_missing', l.job_id::text, l.new_job_id IS NULL OR j.origin_id IS DISTINCT FROM l.job_id
        FROM bounds b, departures l LEFT JOIN jobs j ON j.id = l.new_job_id AND j.queue = l.queue
        WHERE l.how = 'redriven' AND coalesce(b.ids @> l.new_job_id, true)
        UNION ALL
        -- Departures are deleted after 90 days.
        SELECT 'redrive_miscounted', r.id::text,
            r.redriven <> (SELECT count(*) FROM departures l WHERE l.redrive_id = r.id)
        FROM redrives r WHERE r.created_at > clock_timestamp() - interval '60 days'
        UNION ALL
        SELECT 'partition_wrong', coalesce(there.relname, partition_name(want.kind, want.first_day)), there.oid IS NULL OR want.kind IS NULL
        FROM (SELECT k.kind, p.first_day, format('FOR VALUES FROM (''%s'') TO (''%s'')', p.first_day * 100000000000, (p.last_day + 1) * 100000000000) AS bound
              FROM partitions p CROSS JOIN (VALUES ('jobs'), ('attempts')) k(kind)) want
        FULL JOIN (SELECT c.oid, c.relname, parent.relname AS kind, pg_get_expr(c.relpartbound, c.oid) AS bound
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class parent ON parent.oid = i.inhparent
              WHERE i.inhparent IN ('jobs'::regclass, 'attempts'::regclass)) there
            ON there.kind = want.kind AND there.bound = want.bound
        UNION ALL
        SELECT 'partition_overlap', partition_name('jobs', p.first_day),
            p.first_day <= lag(p.last_day, 1, p.first_day - 1) OVER (ORDER BY p.first_day) FROM partitions p
        UNION ALL
        SELECT 'index_invalid', i.indexrelid::regclass::text, NOT (i.indisvalid AND i.indisready AND i.indislive)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'penstock'::regnamespace
        UNION ALL
        SELECT 'setting_missing', 'settings', NOT EXISTS (SELECT FROM settings)
        UNION ALL
        SELECT 'setting_missing', 'retry_policies', NOT EXISTS (SELECT FROM retry_policies r WHERE r.queue = '*' AND r.name = '*')
        UNION ALL
        SELECT 'setting_missing', 'dead_policies', NOT EXISTS (SELECT FROM dead_policies d WHERE d.queue = '*')
        UNION ALL
        -- It cycles: a number more than half a cycle ahead is behind.
        SELECT 'sequence_behind', newest.id::text, newest.id % 100000000000 - s.last_value BETWEEN 1 AND 50000000000
        FROM (SELECT max(j.id) AS id FROM jobs j) newest, job_sequence s WHERE newest.id IS NOT NULL
    ), counted AS (
        SELECT s.code, count(*) AS checked, count(*) FILTER (WHERE s.broken) AS found,
            (array_agg(s.subject ORDER BY s.subject) FILTER (WHERE s.broken))[1:5] AS examples
        FROM seen s GROUP BY s.code
    )
    SELECT d.code, coalesce(c.checked, 0), coalesce(c.found, 0), coalesce(c.examples, '{}')
    FROM unnest(ARRAY['pending_without_job', 'running_without_job', 'running_without_worker', 'key_without_job', 'redriven_job_missing',
        'redrive_miscounted', 'partition_wrong', 'partition_overlap', 'index_invalid', 'setting_missing', 'sequence_behind']) d(code)
    LEFT JOIN counted c ON c.code = d.code;
END $$;
