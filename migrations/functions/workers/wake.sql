-- Notifies those who sleep for the queue, if anybody does, at most once in the session's window.
CREATE OR REPLACE FUNCTION penstock.wake(queue text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    mark CONSTANT text := 'penstock.woken_' || to_hex(hashtext(wake.queue));
    ms   CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF ms - coalesce(nullif(current_setting(mark, true), ''), '0')::bigint NOT BETWEEN 0 AND 4 AND penstock.sleeps(wake.queue) THEN
        PERFORM pg_notify('penstock', wake.queue);
        PERFORM set_config(mark, ms::text, false);
    END IF;
END $$;
