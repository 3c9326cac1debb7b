-- Notifies the sessions that listen for a queue, if there are any. A session sends at most one
-- NOTIFY per queue every 5 ms.
CREATE OR REPLACE FUNCTION penstock.notify_queue(queue text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    mark CONSTANT text := 'penstock.woken_' || to_hex(hashtext(notify_queue.queue));
    ms   CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF ms - coalesce(nullif(current_setting(mark, true), ''), '0')::bigint NOT BETWEEN 0 AND 4 AND penstock.has_listener(notify_queue.queue) THEN
        PERFORM pg_notify('penstock', notify_queue.queue);
        PERFORM set_config(mark, ms::text, false);
    END IF;
END $$;
