-- Marks the session as a sleeper of these queues: from now on enqueue notifies.
-- The session must LISTEN on penstock and look for work once more afterwards.
CREATE OR REPLACE FUNCTION penstock.fall_asleep(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(x'70656e73'::integer, hashtext(fall_asleep.queue));
END $$;
