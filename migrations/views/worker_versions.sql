-- One row per worker, live or gone, as long as its attempts are kept: attempts.worker_id refers to it.
CREATE OR REPLACE VIEW penstock.worker_versions AS
SELECT w.id, w.version, w.host, w.pid, w.queues, w.concurrency, w.started_at, NULL::timestamptz AS ended_at FROM penstock.workers w
UNION ALL
SELECT p.id, p.version, p.host, p.pid, p.queues, p.concurrency, p.started_at, p.ended_at FROM penstock.past_workers p;
COMMENT ON COLUMN penstock.worker_versions.id IS 'The worker.';
COMMENT ON COLUMN penstock.worker_versions.version IS 'The version of its handlers, as it said.';
COMMENT ON COLUMN penstock.worker_versions.host IS 'Where it ran.';
COMMENT ON COLUMN penstock.worker_versions.pid IS 'Its process there.';
COMMENT ON COLUMN penstock.worker_versions.queues IS 'The queues it served.';
COMMENT ON COLUMN penstock.worker_versions.concurrency IS 'How many jobs it ran at once.';
COMMENT ON COLUMN penstock.worker_versions.started_at IS 'When it registered.';
COMMENT ON COLUMN penstock.worker_versions.ended_at IS 'When it left or was buried; null while it lives.';
