-- Pauses a queue: claims return nothing, running jobs finish, and enqueue still works.
CREATE OR REPLACE FUNCTION penstock.pause_queue(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('queue', pause_queue.queue);
    INSERT INTO queues (queue, paused) VALUES (pause_queue.queue, true)
    ON CONFLICT (queue) DO UPDATE SET paused = true;
END $$;
