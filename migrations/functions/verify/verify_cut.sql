-- Returns where to cut a range of ids so that it holds at most so many jobs.
CREATE OR REPLACE FUNCTION penstock.verify_cut(low bigint, high bigint, jobs integer DEFAULT 100000) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan
SET jit = off AS $$
BEGIN
    RETURN coalesce((SELECT j.id FROM jobs j WHERE j.id >= low AND j.id < high ORDER BY j.id OFFSET verify_cut.jobs LIMIT 1), high);
END $$;
