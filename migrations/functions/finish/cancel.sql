-- Cancels a job. A waiting job ends at once (cancelled). A running job is stopped through
-- its worker's heartbeat and ends as cancelled unless it completes first (cancelling). The
-- result is that word, finished if there was nothing left to cancel, or null if no such job
-- is known.
-- Indexes: the keys (job_id, queue) of pending and running, the primary key of jobs. Locks:
-- the job's row in pending or running.
CREATE OR REPLACE FUNCTION penstock.cancel(job_id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    its_queue text := (SELECT j.queue FROM jobs j WHERE j.id = cancel.job_id);
    gone      pending;
BEGIN
    IF its_queue IS NULL THEN
        RETURN NULL;
    END IF;
    -- A job may move between pending and running during this call. One statement that finds
    -- it in neither proves that it has finished.
    LOOP
        DELETE FROM pending p WHERE p.job_id = cancel.job_id AND p.queue = its_queue RETURNING p.* INTO gone;
        IF found THEN
            INSERT INTO attempts (job_id, attempt, queue, name, priority, run_at, finished_at, outcome)
            VALUES (gone.job_id, gone.attempt + 1, gone.queue, gone.name, gone.priority, gone.run_at,
                clock_timestamp(), 'cancelled');
            INSERT INTO tallies (at, queue, name, outcome, jobs) VALUES (clock_timestamp(), gone.queue, gone.name, 'cancelled', 1);
            RETURN 'cancelled';
        END IF;
        UPDATE running r SET cancel_requested = true WHERE r.job_id = cancel.job_id AND r.queue = its_queue;
        IF found THEN
            RETURN 'cancelling';
        END IF;
        EXIT WHEN NOT EXISTS (SELECT FROM pending p WHERE p.job_id = cancel.job_id AND p.queue = its_queue)
            AND NOT EXISTS (SELECT FROM running r WHERE r.job_id = cancel.job_id AND r.queue = its_queue);
    END LOOP;
    RETURN 'finished';
END $$;
