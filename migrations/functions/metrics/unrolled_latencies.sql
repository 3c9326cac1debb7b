-- Returns the hours that are not rolled up yet, from their minutes.
CREATE OR REPLACE FUNCTION penstock.unrolled_latencies() RETURNS SETOF penstock.latency_samples
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT m.* FROM sampling s
    CROSS JOIN LATERAL generate_series(s.rolled_to, now(), interval '1 hour') h(hour)
    CROSS JOIN LATERAL merged_latencies(h.hour, h.hour + interval '1 hour') m
$$;
