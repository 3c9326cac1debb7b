-- One row per live worker, as of now.
CREATE OR REPLACE VIEW penstock.worker_stats AS
SELECT w.id, w.host, w.pid, w.version, w.queues, w.concurrency, w.started_at, w.beat_at,
    greatest(extract(epoch FROM clock_timestamp() - w.beat_at)::float8 * 1000, 0) AS silent_ms, coalesce(r.running, 0) AS running,
    coalesce(r.running, 0)::float8 / nullif(w.concurrency, 0) AS utilisation, r.oldest_claimed_at
FROM penstock.workers w
LEFT JOIN (SELECT u.worker_id, count(*) AS running, min(u.claimed_at) AS oldest_claimed_at
           FROM penstock.running u GROUP BY u.worker_id) r ON r.worker_id = w.id;
COMMENT ON COLUMN penstock.worker_stats.id IS 'The worker: one incarnation of a process.';
COMMENT ON COLUMN penstock.worker_stats.host IS 'Where it runs.';
COMMENT ON COLUMN penstock.worker_stats.pid IS 'Its process there.';
COMMENT ON COLUMN penstock.worker_stats.version IS 'The version of its handlers, as it says.';
COMMENT ON COLUMN penstock.worker_stats.queues IS 'The queues it serves.';
COMMENT ON COLUMN penstock.worker_stats.concurrency IS 'How many jobs it runs at once.';
COMMENT ON COLUMN penstock.worker_stats.started_at IS 'When it registered.';
COMMENT ON COLUMN penstock.worker_stats.beat_at IS 'Its last heartbeat.';
COMMENT ON COLUMN penstock.worker_stats.silent_ms IS 'How long ago that was; at 15 seconds it is buried.';
COMMENT ON COLUMN penstock.worker_stats.running IS 'The jobs it has claimed.';
COMMENT ON COLUMN penstock.worker_stats.utilisation IS 'running / concurrency.';
COMMENT ON COLUMN penstock.worker_stats.oldest_claimed_at IS 'When it claimed the one that it has had longest.';
