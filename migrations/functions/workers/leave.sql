-- A worker takes its leave: what it still holds goes back at no cost, its row goes.
CREATE OR REPLACE FUNCTION penstock.leave(worker_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    released integer;
BEGIN
    released := settle_all(ARRAY(SELECT r FROM running r WHERE r.worker_id = leave.worker_id
        FOR UPDATE SKIP LOCKED), 'released', '', '');
    DELETE FROM workers WHERE id = leave.worker_id;
    RETURN released;
END $$;
