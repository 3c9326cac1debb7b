-- Changes the priority of a waiting job; true if it was waiting.
CREATE OR REPLACE FUNCTION penstock.reprioritize(job_id bigint, priority text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    weight    CONSTANT smallint := priority_weight(coalesce(to_jsonb(reprioritize.priority), '""'));
    its_queue text;
BEGIN
    UPDATE pending p SET priority = weight, run_at = greatest(p.run_at, clock_timestamp())
    WHERE p.job_id = reprioritize.job_id AND p.queue = (SELECT j.queue FROM jobs j WHERE j.id = reprioritize.job_id)
    RETURNING p.queue INTO its_queue;
    IF its_queue IS NOT NULL THEN
        PERFORM notify_queue(its_queue);
    END IF;
    RETURN its_queue IS NOT NULL;
END $$;
