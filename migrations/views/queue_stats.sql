-- One row per queue that has a job, a worker or settings, as of now. Reads what waits, runs or is
-- dead, never what has finished.
CREATE OR REPLACE VIEW penstock.queue_stats AS
SELECT s.queue, coalesce(q.paused, false) AS paused, s.waiting, s.scheduled, s.retrying, s.due, s.running, s.dead,
    coalesce(w.workers, 0) AS workers, s.slots, s.running::float8 / nullif(s.slots, 0) AS utilisation, s.oldest_due AS oldest_due_at,
    coalesce(greatest(extract(epoch FROM s.at - s.oldest_due)::float8 * 1000, 0), 0) AS oldest_due_ms
FROM penstock.live_states s
LEFT JOIN penstock.queues q ON q.queue = s.queue
LEFT JOIN penstock.queue_slots w ON w.queue = s.queue;
COMMENT ON COLUMN penstock.queue_stats.queue IS 'The queue.';
COMMENT ON COLUMN penstock.queue_stats.paused IS 'Claims hand out nothing.';
COMMENT ON COLUMN penstock.queue_stats.waiting IS 'Jobs that are due and have not failed.';
COMMENT ON COLUMN penstock.queue_stats.scheduled IS 'Jobs that are due later and have not failed.';
COMMENT ON COLUMN penstock.queue_stats.retrying IS 'Jobs that wait after a failure or a crash, due or not.';
COMMENT ON COLUMN penstock.queue_stats.due IS 'Jobs that a claim could take now: waiting, and retrying ones whose time has come.';
COMMENT ON COLUMN penstock.queue_stats.running IS 'Jobs that are claimed.';
COMMENT ON COLUMN penstock.queue_stats.dead IS 'Jobs in the dead letter queue.';
COMMENT ON COLUMN penstock.queue_stats.workers IS 'Live workers that serve the queue.';
COMMENT ON COLUMN penstock.queue_stats.slots IS 'How many jobs these run at once.';
COMMENT ON COLUMN penstock.queue_stats.utilisation IS 'running / slots; null without slots.';
COMMENT ON COLUMN penstock.queue_stats.oldest_due_at IS 'Since when the job due longest has been due; null when none is.';
COMMENT ON COLUMN penstock.queue_stats.oldest_due_ms IS 'How long that is, 0 when none is due.';
