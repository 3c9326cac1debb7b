-- Notes which job a worker is about to start that two workers died with; null takes the
-- note back. If the worker dies while the note stands, the crash counts for that job alone:
-- the jobs that ran next to it are not moved to the dead letter queue with it. Returns
-- false when the worker has no row. Locks the worker's row; served by its key.
CREATE OR REPLACE FUNCTION penstock.suspect_job(worker_id bigint, job_id bigint DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    UPDATE workers w SET suspect_job = suspect_job.job_id WHERE w.id = suspect_job.worker_id;
    RETURN found;
END $$;
