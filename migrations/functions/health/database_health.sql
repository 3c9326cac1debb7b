-- Returns the issues of the database and of the scheduled tasks. Old transactions of other roles are
-- visible only if the owner of the schema may read all of pg_stat_activity (pg_read_all_stats).
CREATE OR REPLACE FUNCTION penstock.database_health() RETURNS SETOF penstock.health_issues
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH held AS (
        SELECT h.* FROM (
            SELECT 'process ' || a.pid || coalesce(' (' || a.usename || ')', '') AS who, clock_timestamp() - a.xact_start AS age, a.query,
                format('End what it does, or end it: SELECT pg_terminate_backend(%s)', a.pid) AS remedy
            FROM pg_stat_activity a WHERE a.backend_xmin IS NOT NULL AND a.xact_start IS NOT NULL AND a.datname = current_database()
              AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
            UNION ALL
            SELECT 'the prepared transaction ' || p.gid, clock_timestamp() - p.prepared, NULL,
                format('Commit it or roll it back: ROLLBACK PREPARED %L', p.gid) FROM pg_prepared_xacts p WHERE p.database = current_database()
        ) h ORDER BY h.age DESC LIMIT 1
    )
    SELECT '', 'xmin_horizon', CASE WHEN h.age > interval '1 hour' THEN 'critical' ELSE 'warning' END,
        format('%s has kept a snapshot for %s s: vacuum removes nothing that died since', h.who, round(extract(epoch FROM h.age))),
        extract(epoch FROM h.age)::float8 * 1000, CASE WHEN h.age > interval '1 hour' THEN 3600000 ELSE 300000 END, 'ms', h.remedy, left(h.query, 1000)
    FROM held h WHERE h.age > interval '5 minutes'
    UNION ALL
    SELECT '', 'dead_tuples', CASE WHEN f.figure > 0.95 AND t.dead > 1000000 THEN 'critical' ELSE 'warning' END,
        format('%s%% of %s in table %s are dead rows', round((100 * f.figure)::numeric), t.dead + t.live, t.name), f.figure,
        CASE WHEN f.figure > 0.95 AND t.dead > 1000000 THEN 0.95 ELSE 0.8 END, 'share',
        format('See what keeps vacuum from it (xmin_horizon), then: VACUUM penstock.%I', t.name), NULL
    FROM (SELECT c.relname AS name, pg_stat_get_live_tuples(c.oid)::float8 AS live, pg_stat_get_dead_tuples(c.oid)::float8 AS dead
        FROM pg_class c WHERE c.oid IN ('penstock.pending'::regclass, 'penstock.running'::regclass)) t
    CROSS JOIN LATERAL (SELECT t.dead / nullif(t.dead + t.live, 0) AS figure) f WHERE t.dead > 100000 AND f.figure > 0.8
    UNION ALL
    SELECT '', 'notify_queue', CASE WHEN u.figure > 0.5 THEN 'critical' ELSE 'warning' END,
        format('the queue of notifications is %s%% full', round((100 * u.figure)::numeric)), u.figure,
        CASE WHEN u.figure > 0.5 THEN 0.5 ELSE 0.1 END, 'share',
        'End the session that listens and does not read: the oldest transaction that is idle in pg_stat_activity.', NULL
    FROM (SELECT pg_notification_queue_usage() AS figure) u WHERE u.figure > 0.1
    UNION ALL
    SELECT '', 'partitions_ahead', CASE WHEN p.figure < 1 THEN 'critical' ELSE 'warning' END,
        format('partitions exist for %s days ahead', p.figure), p.figure, CASE WHEN p.figure < 1 THEN 1 ELSE 3 END, 'days',
        'Have them made: penstock task run partitions', NULL
    FROM (SELECT coalesce(max(x.last_day) - floor(extract(epoch FROM clock_timestamp()) / 86400), -1)::float8 AS figure FROM partitions x) p
    WHERE p.figure < 3
    UNION ALL
    SELECT '', 'transaction_age', CASE WHEN x.figure > 1600000000 THEN 'critical' ELSE 'warning' END,
        format('the oldest transaction id is %s transactions old', x.figure), x.figure,
        CASE WHEN x.figure > 1600000000 THEN 1600000000 ELSE 1000000000 END, 'transactions',
        'Find out why autovacuum does not freeze (xmin_horizon?), then: VACUUM (FREEZE)', NULL
    FROM (SELECT age(d.datfrozenxid)::float8 AS figure FROM pg_database d WHERE d.datname = current_database()) x WHERE x.figure > 1000000000
    UNION ALL
    SELECT '', 'task_failing', CASE WHEN t.consecutive_failures >= 3 THEN 'critical' ELSE 'warning' END,
        format('the task %s failed %s times in a row', t.name, t.consecutive_failures), t.consecutive_failures,
        CASE WHEN t.consecutive_failures >= 3 THEN 3 ELSE 1 END, 'runs', format('See why: penstock task show %s', t.name), left(t.error, 1000)
    FROM scheduled_tasks t WHERE t.consecutive_failures > 0 AND NOT t.paused
    UNION ALL
    SELECT '', 'tasks_overdue', 'warning', format('%s tasks are overdue, %s first, by %s s', o.n, o.name, round(o.late::numeric)), o.late * 1000, 300000, 'ms',
        'Run a server or a worker, which keep the tasks: penstock serve', NULL
    FROM (SELECT count(*) AS n, min(t.name) AS name, max(extract(epoch FROM clock_timestamp() - t.next_run_at))::float8 AS late FROM scheduled_tasks t
        WHERE NOT t.paused AND t.lease_until IS NULL AND t.consecutive_failures = 0 AND t.next_run_at < clock_timestamp() - interval '5 minutes') o
    WHERE o.n > 0
$$;
