-- Returns the issues of one queue, or of every queue. It compares recent samples and the current
-- counts with the thresholds. A queue that is not used has no issues. Rates count only from
-- least_attempts attempts on.
CREATE OR REPLACE FUNCTION penstock.queue_health(queue text DEFAULT NULL) RETURNS SETOF penstock.health_issues
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    WITH seen AS MATERIALIZED (
        SELECT s.queue AS q, s.due, s.slots, greatest(extract(epoch FROM s.at - s.oldest_due), 0)::float8 * 1000 AS age,
            coalesce(p.paused, false) AS paused,
            EXISTS (SELECT FROM workers w WHERE s.queue = ANY (w.queues) AND w.beat_at > clock_timestamp() - interval '1 minute') AS served,
            t.*, extract(epoch FROM t.span)::float8 AS seconds, extract(epoch FROM t.wait_objective)::float8 * 1000 AS objective,
            m.*, m.completed + m.failed + m.lost AS attempts
        FROM live_states s LEFT JOIN queues p ON p.queue = s.queue
        CROSS JOIN LATERAL effective_thresholds(s.queue) t
        CROSS JOIN LATERAL (SELECT coalesce(sum(x.enqueued), 0)::float8 AS enqueued, coalesce(sum(x.completed), 0)::float8 AS completed,
                coalesce(sum(x.failed), 0)::float8 AS failed, coalesce(sum(x.lost), 0)::float8 AS lost,
                coalesce(sum(x.processing_ms), 0) AS processing_ms
            FROM metric_samples x WHERE x.queue = s.queue AND x.step = 'minute' AND x.at >= clock_timestamp() - t.span) m
        WHERE queue_health.queue IS NULL OR s.queue = queue_health.queue
    )
    SELECT s.q, 'success_rate', CASE WHEN f.figure < s.success_rate_critical THEN 'critical' ELSE 'warning' END,
        format('%s%% of %s attempts completed', round((100 * f.figure)::numeric, 1), s.attempts), f.figure,
        CASE WHEN f.figure < s.success_rate_critical THEN s.success_rate_critical ELSE s.success_rate_warning END, 'share',
        format('See what fails: penstock dlq groups %s; penstock job list --queue %1$s --state retrying', s.q), NULL
    FROM seen s CROSS JOIN LATERAL (SELECT s.completed / nullif(s.attempts, 0) AS figure) f
    WHERE s.attempts >= s.least_attempts AND f.figure < greatest(s.success_rate_warning, s.success_rate_critical)
    UNION ALL
    SELECT s.q, CASE WHEN s.paused THEN 'paused' ELSE 'waiting_long' END,
        CASE WHEN s.age > 10 * s.objective AND NOT s.paused THEN 'critical' ELSE 'warning' END,
        format(CASE WHEN s.paused THEN 'the queue is paused, and its oldest due job has waited for %s s (%s due)'
            ELSE 'the oldest due job has waited for %s s (%s due)' END, round((s.age / 1000)::numeric, 1), s.due),
        s.age, CASE WHEN s.age > 10 * s.objective AND NOT s.paused THEN 10 * s.objective ELSE s.objective END, 'ms',
        format(CASE WHEN s.paused THEN 'Let it go on when its reason is gone: penstock queue resume %s'
            ELSE 'Add workers or slots for this queue, or see what holds a job: penstock job list --queue %s --state waiting' END, s.q), NULL
    FROM seen s WHERE s.due > 0 AND s.age > s.objective
    UNION ALL
    SELECT s.q, 'late_starts', 'warning', format('%s%% of %s jobs started within %s s', round((100 * f.figure)::numeric, 1), f.jobs,
            s.objective / 1000), f.figure, s.wait_share, 'share',
        format('Add workers or slots for this queue, or set an objective it can keep: penstock health set %s --wait-objective', s.q), NULL
    FROM seen s CROSS JOIN LATERAL (
        SELECT sum(u.n) AS jobs, sum(u.n) FILTER (WHERE bucket_ms(u.bucket) <= s.objective)::float8 / nullif(sum(u.n), 0) AS figure
        FROM latency_samples l CROSS JOIN LATERAL unnest(l.buckets, l.counts) u(bucket, n)
        WHERE l.queue = s.q AND l.step = 'minute' AND l.metric = 'wait' AND l.at >= clock_timestamp() - s.span) f
    WHERE f.jobs >= s.least_attempts AND coalesce(f.figure, 0) < s.wait_share AND NOT s.paused
    UNION ALL
    SELECT s.q, 'overload', CASE WHEN f.figure >= s.load_critical THEN 'critical' ELSE 'warning' END,
        format('jobs arrive %s times as fast as %s slots can work them', round(f.figure::numeric, 2), s.slots), f.figure,
        CASE WHEN f.figure >= s.load_critical THEN s.load_critical ELSE s.load_warning END, 'ratio',
        'Add workers or raise --concurrency, or make the jobs shorter.', NULL
    FROM seen s CROSS JOIN LATERAL (SELECT (s.enqueued / s.seconds)
            / nullif(s.slots / nullif(s.processing_ms / nullif(s.completed, 0) / 1000, 0), 0) AS figure) f
    WHERE s.completed >= s.least_attempts AND s.slots > 0 AND f.figure >= least(s.load_warning, s.load_critical)
    UNION ALL
    SELECT s.q, 'no_worker', 'critical', format('%s due and no live worker works this queue', s.due || CASE s.due WHEN 1 THEN ' job is' ELSE ' jobs are' END), 0, 1, 'workers',
        format('Start one: penstock work --queue %s -- COMMAND, or a process of yours that handles it', s.q), NULL
    FROM seen s WHERE s.due > 0 AND s.age > s.objective AND NOT s.served AND NOT s.paused
    UNION ALL
    SELECT s.q, 'dead_growth', CASE WHEN f.figure >= s.dead_critical THEN 'critical' ELSE 'warning' END,
        format('%s jobs died within an hour', f.figure), f.figure,
        CASE WHEN f.figure >= s.dead_critical THEN s.dead_critical ELSE s.dead_warning END, 'jobs/hour',
        format('See what they died of, mend it, then send them back: penstock dlq groups %s; penstock dlq redrive %1$s --canary 10', s.q), NULL
    FROM seen s CROSS JOIN LATERAL (SELECT count(*)::float8 AS figure FROM dead_jobs d
        WHERE d.queue = s.q AND d.failed_at > clock_timestamp() - interval '1 hour') f
    WHERE f.figure >= least(s.dead_warning, s.dead_critical)
    UNION ALL
    SELECT s.q, 'running_long', CASE WHEN f.age > s.running_critical THEN 'critical' ELSE 'warning' END,
        format('job %s has been running for %s s', f.job_id, round(extract(epoch FROM f.age))), extract(epoch FROM f.age)::float8 * 1000,
        extract(epoch FROM CASE WHEN f.age > s.running_critical THEN s.running_critical ELSE s.running_warning END)::float8 * 1000, 'ms',
        format('Inspect it, and cancel it if it hangs: penstock job get %s; penstock job cancel %1$s', f.job_id), NULL
    FROM seen s CROSS JOIN LATERAL (SELECT r.job_id, clock_timestamp() - r.claimed_at AS age FROM running r WHERE r.queue = s.q
        ORDER BY r.claimed_at LIMIT 1) f
    WHERE f.age > least(s.running_warning, s.running_critical)
    UNION ALL
    SELECT s.q, 'crash_rate', CASE WHEN f.figure >= s.crash_critical THEN 'critical' ELSE 'warning' END,
        format('%s of %s attempts were lost with their worker', s.lost, s.attempts), f.figure,
        CASE WHEN f.figure >= s.crash_critical THEN s.crash_critical ELSE s.crash_warning END, 'share',
        'See the logs of the workers that ended (memory?): penstock job list --class WorkerLost', NULL
    FROM seen s CROSS JOIN LATERAL (SELECT s.lost / nullif(s.attempts, 0) AS figure) f
    WHERE s.attempts >= s.least_attempts AND s.lost > 0 AND f.figure >= least(s.crash_warning, s.crash_critical)
    UNION ALL
    SELECT s.q, 'slowdown', CASE WHEN now_.p95 >= s.slowdown_critical * week.p95 THEN 'critical' ELSE 'warning' END,
        format('the P95 is %s ms, where the week''s is %s ms', round(now_.p95::numeric, 1), round(week.p95::numeric, 1)), now_.p95 / week.p95,
        CASE WHEN now_.p95 >= s.slowdown_critical * week.p95 THEN s.slowdown_critical ELSE s.slowdown_warning END, 'ratio',
        'See what the handlers wait for: a service they call, locks, a busy machine.', NULL
    FROM seen s CROSS JOIN LATERAL sampled_p95(s.q, 'minute', clock_timestamp() - s.span, 'infinity') now_
    CROSS JOIN LATERAL sampled_p95(s.q, 'hour', clock_timestamp() - interval '7 days', date_trunc('hour', clock_timestamp() - s.span, 'UTC')) week
    WHERE now_.jobs >= s.least_attempts AND week.jobs >= 10 * s.least_attempts AND week.p95 > 0
      AND now_.p95 >= least(s.slowdown_warning, s.slowdown_critical) * week.p95
    UNION ALL
    SELECT s.q, 'error_spike', CASE WHEN f.n >= s.spike_critical THEN 'critical' ELSE 'warning' END,
        format('%s jobs died of one error, %s (%s), against %s in the day before', f.n, f.error_class, f.fingerprint, f.before), f.n,
        CASE WHEN f.n >= s.spike_critical THEN s.spike_critical ELSE s.spike_warning END, 'jobs',
        format('Inspect one: penstock dlq list %s --fingerprint %s --limit 1', s.q, f.fingerprint), NULL
    FROM seen s CROSS JOIN LATERAL (
        SELECT d.fingerprint, max(d.error_class) AS error_class, count(*) FILTER (WHERE d.failed_at > clock_timestamp() - s.span)::float8 AS n,
            count(*) FILTER (WHERE d.failed_at <= clock_timestamp() - s.span) AS before
        FROM dead_jobs d WHERE d.queue = s.q AND d.failed_at > clock_timestamp() - s.span - interval '1 day' GROUP BY d.fingerprint
        ORDER BY 3 DESC LIMIT 5) f
    WHERE f.n >= least(s.spike_warning, s.spike_critical) AND f.n > 3 * f.before * s.seconds / 86400
$$;
