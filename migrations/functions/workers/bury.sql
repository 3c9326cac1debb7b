-- Removes a silent worker, if its beat is still the one given, and ends its attempts as lost.
-- It returns how many. It returns null if the worker beat since then or is gone, or if another
-- session buries it: waiting for that one would delay the burial of others. A row of running
-- that an open transaction has locked (CompleteTx of a frozen worker) is skipped; from then on
-- it is an orphan (bury_orphans).
-- Index: the primary key of workers; running is small and read whole. Locks: the worker's row
-- (skipped if locked), the rows of running, FOR UPDATE SKIP LOCKED.
CREATE OR REPLACE FUNCTION penstock.bury(worker_id bigint, beat bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    lost integer;
BEGIN
    PERFORM FROM workers WHERE id = bury.worker_id AND beat = bury.beat FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    -- Before its row is deleted: a dead job records the version of its last handler.
    lost := end_running(ARRAY(SELECT r FROM running r WHERE r.worker_id = bury.worker_id
        FOR UPDATE SKIP LOCKED), 'lost', 'WorkerLost',
        'the worker stopped beating');
    DELETE FROM workers WHERE id = bury.worker_id;
    RETURN lost;
END $$;
