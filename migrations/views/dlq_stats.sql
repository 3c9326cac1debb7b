-- One row per queue that has dead jobs, as of now. Reads the dead jobs, and what left in the last day.
CREATE OR REPLACE VIEW penstock.dlq_stats AS
SELECT d.queue, d.dead, d.exhausted, d.non_retryable, d.crash_loop, d.timeout, d.manual, d.retryable, d.scheduled, d.oldest_at,
    d.newest_at, d.new_24h, coalesce(l.redriven_24h, 0) AS redriven_24h, coalesce(l.purged_24h, 0) AS purged_24h
FROM (
    SELECT e.queue, count(*) AS dead, count(*) FILTER (WHERE e.reason = 'exhausted') AS exhausted,
        count(*) FILTER (WHERE e.reason = 'non_retryable') AS non_retryable, count(*) FILTER (WHERE e.reason = 'crash_loop') AS crash_loop,
        count(*) FILTER (WHERE e.reason = 'timeout') AS timeout, count(*) FILTER (WHERE e.reason = 'manual') AS manual,
        count(*) FILTER (WHERE e.can_retry) AS retryable, count(*) FILTER (WHERE e.next_retry_at IS NOT NULL) AS scheduled,
        min(e.failed_at) AS oldest_at, max(e.failed_at) AS newest_at,
        count(*) FILTER (WHERE e.failed_at > now() - interval '24 hours') AS new_24h
    FROM penstock.dead_jobs e GROUP BY e.queue) d
LEFT JOIN (
    SELECT g.queue, count(*) FILTER (WHERE g.how = 'redriven') AS redriven_24h, count(*) FILTER (WHERE g.how = 'purged') AS purged_24h
    FROM penstock.departures g WHERE g.departed_at > now() - interval '24 hours' GROUP BY g.queue) l ON l.queue = d.queue;
COMMENT ON COLUMN penstock.dlq_stats.queue IS 'The queue.';
COMMENT ON COLUMN penstock.dlq_stats.dead IS 'Jobs in the dead letter queue.';
COMMENT ON COLUMN penstock.dlq_stats.exhausted IS 'Of these, those whose attempts were spent.';
COMMENT ON COLUMN penstock.dlq_stats.non_retryable IS 'Those that were not to be retried.';
COMMENT ON COLUMN penstock.dlq_stats.crash_loop IS 'Those whose worker died three times.';
COMMENT ON COLUMN penstock.dlq_stats.timeout IS 'Those whose last attempt took too long.';
COMMENT ON COLUMN penstock.dlq_stats.manual IS 'Those that were moved there by hand.';
COMMENT ON COLUMN penstock.dlq_stats.retryable IS 'Those that may be redriven.';
COMMENT ON COLUMN penstock.dlq_stats.scheduled IS 'Those that will be redriven automatically.';
COMMENT ON COLUMN penstock.dlq_stats.oldest_at IS 'When the first of them died.';
COMMENT ON COLUMN penstock.dlq_stats.newest_at IS 'When the last of them died.';
COMMENT ON COLUMN penstock.dlq_stats.new_24h IS 'Those that died in the last 24 hours.';
COMMENT ON COLUMN penstock.dlq_stats.redriven_24h IS 'Jobs that left by redrive in the last 24 hours.';
COMMENT ON COLUMN penstock.dlq_stats.purged_24h IS 'Jobs that were purged in the last 24 hours.';
