-- Ends start_listening: this session needs no notification for the queue any more.
CREATE OR REPLACE FUNCTION penstock.stop_listening(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
BEGIN
    PERFORM pg_advisory_unlock_shared(x'70656e73'::integer, hashtext(stop_listening.queue));
END $$;
