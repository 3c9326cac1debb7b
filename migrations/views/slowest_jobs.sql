-- The attempts that run, and those that ended in the last hour. Order them by run_ms or wait_ms,
-- descending, with a LIMIT. Served by the BRIN index on attempts.finished_at, which reads some pages
-- of the newest partitions.
CREATE OR REPLACE VIEW penstock.slowest_jobs AS
SELECT a.job_id, a.queue, a.name, a.attempt, a.outcome, a.worker_id, a.claimed_at, a.finished_at,
    extract(epoch FROM a.finished_at - a.claimed_at)::float8 * 1000 AS run_ms,
    greatest(extract(epoch FROM a.claimed_at - a.run_at)::float8 * 1000, 0) AS wait_ms
FROM penstock.attempts a WHERE a.finished_at > now() - interval '1 hour' AND a.claimed_at IS NOT NULL
UNION ALL
SELECT r.job_id, r.queue, r.name, r.attempt, 'running', r.worker_id, r.claimed_at, NULL,
    extract(epoch FROM clock_timestamp() - r.claimed_at)::float8 * 1000,
    greatest(extract(epoch FROM r.claimed_at - r.run_at)::float8 * 1000, 0)
FROM penstock.running r;
COMMENT ON COLUMN penstock.slowest_jobs.job_id IS 'The job.';
COMMENT ON COLUMN penstock.slowest_jobs.queue IS 'Its queue.';
COMMENT ON COLUMN penstock.slowest_jobs.name IS 'Its name.';
COMMENT ON COLUMN penstock.slowest_jobs.attempt IS 'The attempt''s number.';
COMMENT ON COLUMN penstock.slowest_jobs.outcome IS 'How it ended, or running.';
COMMENT ON COLUMN penstock.slowest_jobs.worker_id IS 'The worker that claimed it.';
COMMENT ON COLUMN penstock.slowest_jobs.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN penstock.slowest_jobs.finished_at IS 'When it ended; null while it runs.';
COMMENT ON COLUMN penstock.slowest_jobs.run_ms IS 'How long it ran, or runs.';
COMMENT ON COLUMN penstock.slowest_jobs.wait_ms IS 'How long it had been due when it was claimed.';
