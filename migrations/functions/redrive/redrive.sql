-- Redrives one dead job, with other data if given, and returns the id of the new job. entry is
-- dlq_<job>_<attempt>, so a repeated call cannot affect a later death: it returns the id that the
-- first call made. PN404 if there is and was no such entry; PN412 if it was purged.
CREATE OR REPLACE FUNCTION penstock.redrive(queue text, entry text, data jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    its_id  bigint;
    its_nth integer;
    fresh   bigint[];
    left_   departures;
BEGIN
    IF entry IS NULL OR entry !~ '^dlq_\d{1,18}_\d{1,9}$' THEN
        PERFORM refuse('entry', 'dlq_<job>_<attempt>', entry);
    END IF;
    IF coalesce(json_bytes(redrive.data), CASE WHEN redrive.data IS NOT NULL THEN 1048577 END) > 1048576 THEN
        PERFORM refuse('data', 'JSON of at most 1048576 bytes', 'more');
    END IF;
    its_id := split_part(entry, '_', 2);
    its_nth := split_part(entry, '_', 3);
    PERFORM FROM dead_jobs d WHERE d.job_id = its_id AND d.queue = redrive.queue AND d.attempt = its_nth FOR UPDATE;
    IF found THEN
        fresh := redrive_entries(ARRAY[its_id], ARRAY[its_nth], 32767, redrive.data);
        RETURN fresh[1];
    END IF;
    SELECT l.* INTO left_ FROM departures l WHERE l.job_id = its_id AND l.queue = redrive.queue AND l.attempt = its_nth;
    IF left_.how = 'redriven' THEN
        RETURN left_.new_job_id;
    ELSIF left_.how = 'purged' THEN
        RAISE EXCEPTION 'dead job % was purged', entry USING ERRCODE = 'PN412', HINT = 'Its data is gone: enqueue it again.';
    END IF;
    RAISE EXCEPTION 'no dead job % in queue %', entry, redrive.queue USING ERRCODE = 'PN404';
END $$;
