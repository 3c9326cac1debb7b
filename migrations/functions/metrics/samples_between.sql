-- Returns the samples of one queue, or of all (null). It has two statements so that each has one
-- plan for every call: planning took longer than reading.
CREATE OR REPLACE FUNCTION penstock.samples_between(queue text, step text, low timestamptz, high timestamptz) RETURNS SETOF penstock.metric_samples
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF samples_between.queue IS NULL THEN
        RETURN QUERY SELECT * FROM metric_samples m
            WHERE m.step = samples_between.step AND m.at >= low AND m.at < high;
    ELSE
        RETURN QUERY SELECT * FROM metric_samples m
            WHERE m.queue = samples_between.queue AND m.step = samples_between.step AND m.at >= low AND m.at < high;
    END IF;
END $$;
