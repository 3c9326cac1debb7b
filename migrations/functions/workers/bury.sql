-- Removes a worker whose beat is still the one given and ends its attempts as lost; returns
-- how many, or null when the worker has beaten since, is gone, or is locked by another
-- sweeper: waiting for that one would delay the others. A row that an open transaction
-- keeps locked (CompleteTx of a frozen worker) is passed over, and is an orphan from then on.
-- A crash is counted for every attempt, except that a worker that had begun to shut down
-- (drain_worker) was ended by its platform, and one that ran a suspect (suspect_job) counts
-- it for that job alone. Served by the key of workers; reads all of running.
CREATE OR REPLACE FUNCTION penstock.bury(worker_id bigint, beat bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    worker workers;
    held   running[];
    lost   integer := 0;
BEGIN
    SELECT w.* INTO worker FROM workers w WHERE w.id = bury.worker_id AND w.beat = bury.beat FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    held := ARRAY(SELECT r FROM running r WHERE r.worker_id = bury.worker_id FOR UPDATE SKIP LOCKED);
    -- Before its row goes: a dead job notes the version of the handler it died in.
    IF worker.draining_at IS NOT NULL THEN
        lost := end_running(held, 'lost', 'WorkerStopped', 'the worker was stopped before this attempt ended');
    ELSIF worker.suspect_job = ANY (ARRAY(SELECT h.job_id FROM unnest(held) h)) THEN
        lost := end_running(ARRAY(SELECT h FROM unnest(held) h WHERE h.job_id = worker.suspect_job), 'lost', 'WorkerLost',
                'the worker stopped beating')
            + end_running(ARRAY(SELECT h FROM unnest(held) h WHERE h.job_id <> worker.suspect_job), 'lost', 'WorkerLostWithSuspect',
                format('the worker stopped beating while it ran job %s, with which two workers had died', worker.suspect_job));
    ELSE
        lost := end_running(held, 'lost', 'WorkerLost', 'the worker stopped beating');
    END IF;
    DELETE FROM workers WHERE id = bury.worker_id;
    RETURN lost;
END $$;
