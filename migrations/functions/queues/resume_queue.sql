-- Lets workers claim from a paused queue again, and notifies them.
-- Locks: the row of queues, found by the primary key.
CREATE OR REPLACE FUNCTION penstock.resume_queue(queue text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_name('queue', resume_queue.queue);
    UPDATE queues q SET paused = false WHERE q.queue = resume_queue.queue;
    PERFORM notify_queue(resume_queue.queue);
END $$;
