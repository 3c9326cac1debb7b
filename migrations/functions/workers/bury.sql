-- Removes a worker whose beat is still the one given and ends its attempts as
-- lost; returns how many, or null when the worker beat meanwhile, is gone, or is in the
-- hands of another sweeper: who waited for that one would be late for the others. A row
-- that an open transaction keeps (CompleteTx of a frozen worker) must not hold up
-- the others: it is passed over, and an orphan from now on.
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
    -- Before its row goes: a dead job notes the version of the handler it died in.
    lost := settle_all(ARRAY(SELECT r FROM running r WHERE r.worker_id = bury.worker_id
        FOR UPDATE SKIP LOCKED), 'lost', 'WorkerLost',
        'the worker stopped beating');
    DELETE FROM workers WHERE id = bury.worker_id;
    RETURN lost;
END $$;
