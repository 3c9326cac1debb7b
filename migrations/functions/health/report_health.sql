-- Stores a health report of every queue and of the database, deletes reports that are older than the
-- retention, and returns how many it stored. Details are not stored.
CREATE OR REPLACE FUNCTION penstock.report_health(retention interval DEFAULT '30 days') RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    made integer;
BEGIN
    DELETE FROM health_reports r WHERE r.at < clock_timestamp() - report_health.retention;
    INSERT INTO health_reports (at, queue, status, issues)
    SELECT clock_timestamp(), n.queue, health_status(array_agg(i.severity)),
        coalesce(jsonb_agg(jsonb_build_object('code', i.code, 'severity', i.severity, 'message', i.message, 'figure', i.figure,
            'threshold', i.threshold, 'unit', i.unit, 'recommendation', i.recommendation) ORDER BY i.severity, i.code)
            FILTER (WHERE i.code IS NOT NULL), '[]')
    FROM (SELECT s.queue FROM live_states s UNION ALL SELECT '') n
    LEFT JOIN (SELECT * FROM queue_health() UNION ALL SELECT * FROM database_health()) i ON i.queue = n.queue
    GROUP BY n.queue;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END $$;
