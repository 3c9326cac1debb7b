-- Marks the session as a listener of a queue: from now on enqueue notifies. The session must
-- have run LISTEN penstock, and must look for work once more afterwards.
-- Locks: a shared advisory lock of the session, until stop_listening.
CREATE OR REPLACE FUNCTION penstock.start_listening(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(x'70656e73'::integer, hashtext(start_listening.queue));
END $$;
