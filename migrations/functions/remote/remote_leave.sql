-- A remote worker takes its leave; see leave.
CREATE OR REPLACE FUNCTION penstock.remote_leave(worker_id bigint, owner text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM remote_beat(remote_leave.worker_id, remote_leave.owner);
    DELETE FROM remote_claims c WHERE c.worker_id = remote_leave.worker_id;
    RETURN leave(remote_leave.worker_id);
END $$;
