-- Adds up tallies by minute, hour or day (step) and queue, and returns how long their attempts took
-- (latencies_of).
CREATE OR REPLACE FUNCTION penstock.metrics_of(given penstock.tallies[], step text) RETURNS SETOF penstock.metric_samples
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET jit = off AS $$
#variable_conflict use_column
BEGIN -- not SQL, which would be planned at every call
    RETURN QUERY
    SELECT date_trunc(metrics_of.step, t.at, 'UTC') AS at, coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'enqueued'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'completed'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'failed'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'lost'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'snoozed'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'released'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'cancelled'), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.outcome = 'expired'), 0), coalesce(sum(t.jobs) FILTER (WHERE t.dead), 0),
        coalesce(sum(t.jobs) FILTER (WHERE t.claimed_at IS NOT NULL), 0),
        coalesce(sum(epoch_us(t.at - t.claimed_at) / 1000 * t.jobs) FILTER (WHERE t.outcome = 'completed'), 0),
        -- Unnested only if there is something: most tallies count enqueued jobs.
        coalesce(sum(CASE WHEN t.claimed_at IS NOT NULL THEN (SELECT sum(epoch_us(t.claimed_at - d.run_at) / 1000 * d.jobs)
            FROM unnest(t.run_ats, t.jobs_each) d(run_at, jobs)) END), 0), 0, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::bigint,
        NULL::float8, t.queue, metrics_of.step
    FROM unnest(given) t
    GROUP BY 1, t.queue;
END $$;
