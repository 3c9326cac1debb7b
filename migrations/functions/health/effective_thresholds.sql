-- Returns the health thresholds of a queue, with every field filled.
CREATE OR REPLACE FUNCTION penstock.effective_thresholds(queue text) RETURNS SETOF penstock.health_thresholds
LANGUAGE sql STABLE SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT effective_thresholds.queue, coalesce(q.span, e.span), coalesce(q.least_attempts, e.least_attempts),
        coalesce(q.wait_objective, e.wait_objective), coalesce(q.wait_share, e.wait_share),
        coalesce(q.success_rate_warning, e.success_rate_warning), coalesce(q.success_rate_critical, e.success_rate_critical),
        coalesce(q.load_warning, e.load_warning), coalesce(q.load_critical, e.load_critical),
        coalesce(q.dead_warning, e.dead_warning), coalesce(q.dead_critical, e.dead_critical),
        coalesce(q.running_warning, e.running_warning), coalesce(q.running_critical, e.running_critical),
        coalesce(q.crash_warning, e.crash_warning), coalesce(q.crash_critical, e.crash_critical),
        coalesce(q.slowdown_warning, e.slowdown_warning), coalesce(q.slowdown_critical, e.slowdown_critical),
        coalesce(q.spike_warning, e.spike_warning), coalesce(q.spike_critical, e.spike_critical)
    FROM health_thresholds e LEFT JOIN health_thresholds q ON q.queue = effective_thresholds.queue WHERE e.queue = '*'
$$;
