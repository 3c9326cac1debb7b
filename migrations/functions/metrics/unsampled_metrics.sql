-- Returns what was tallied and is not in the samples yet, by minute.
CREATE OR REPLACE FUNCTION penstock.unsampled_metrics() RETURNS SETOF penstock.metric_samples
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT * FROM metrics_of(ARRAY(SELECT t FROM tallies t), 'minute')
$$;
