-- The dead letter queue by error: one row per queue, class, reason and message, with numbers, ids and
-- quoted text left out (fingerprint). Reads every entry.
CREATE OR REPLACE VIEW penstock.error_groups AS
SELECT g.queue, g.fingerprint, g.error_class, g.reason, g.jobs, g.retryable, g.first_seen, g.last_seen, g.example_job_id,
    e.message AS example, r.resolved_at, coalesce(r.resolved_at >= g.last_seen, false)::boolean AS resolved
FROM (
    SELECT d.queue, d.fingerprint, d.error_class, d.reason, count(*) AS jobs, count(*) FILTER (WHERE d.can_retry) AS retryable,
        min(d.failed_at)::timestamptz AS first_seen, max(d.failed_at)::timestamptz AS last_seen,
        max(d.job_id)::bigint AS example_job_id
    FROM penstock.dead_jobs d GROUP BY d.queue, d.fingerprint, d.error_class, d.reason) g
JOIN penstock.dead_jobs e ON e.job_id = g.example_job_id AND e.queue = g.queue
LEFT JOIN penstock.resolved_errors r ON r.queue = g.queue AND r.fingerprint = g.fingerprint;
COMMENT ON COLUMN penstock.error_groups.queue IS 'The queue.';
COMMENT ON COLUMN penstock.error_groups.fingerprint IS 'What class and message have in common, as a hash.';
COMMENT ON COLUMN penstock.error_groups.error_class IS 'The error''s class.';
COMMENT ON COLUMN penstock.error_groups.reason IS 'exhausted, non_retryable, crash_loop, timeout or manual.';
COMMENT ON COLUMN penstock.error_groups.jobs IS 'Dead jobs.';
COMMENT ON COLUMN penstock.error_groups.retryable IS 'How many of these may be redriven.';
COMMENT ON COLUMN penstock.error_groups.first_seen IS 'When the first of them died.';
COMMENT ON COLUMN penstock.error_groups.last_seen IS 'When the last of them died.';
COMMENT ON COLUMN penstock.error_groups.example_job_id IS 'The newest of them.';
COMMENT ON COLUMN penstock.error_groups.example IS 'Its message. Not for reporters.';
COMMENT ON COLUMN penstock.error_groups.resolved_at IS 'When the group was marked as resolved.';
COMMENT ON COLUMN penstock.error_groups.resolved IS 'None has died of it since.';
