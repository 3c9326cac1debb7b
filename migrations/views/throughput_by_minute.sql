-- What happened in each queue in each minute of the last days (settings.minutes_kept). A minute
-- without a row is one in which nothing happened or was sampled. Samples and the tallies since are
-- added, so the figures are exact at any moment.
CREATE OR REPLACE VIEW penstock.throughput_by_minute AS
SELECT t.at, t.queue, sum(t.enqueued)::bigint AS enqueued, sum(t.completed)::bigint AS completed, sum(t.failed)::bigint AS failed,
    sum(t.lost)::bigint AS lost, sum(t.snoozed)::bigint AS snoozed, sum(t.released)::bigint AS released,
    sum(t.cancelled)::bigint AS cancelled, sum(t.expired)::bigint AS expired, sum(t.died)::bigint AS died,
    sum(t.processing_ms) / nullif(sum(t.completed), 0) AS avg_processing_ms, sum(t.wait_ms) / nullif(sum(t.claimed), 0) AS avg_wait_ms
FROM (
    SELECT m.at, m.queue, m.enqueued, m.completed, m.failed, m.lost, m.snoozed, m.released, m.cancelled, m.expired, m.died,
        m.processing_ms, m.wait_ms, m.claimed
    FROM penstock.metric_samples m WHERE m.step = 'minute'
    UNION ALL
    SELECT m.at, m.queue, m.enqueued, m.completed, m.failed, m.lost, m.snoozed, m.released, m.cancelled, m.expired, m.died,
        m.processing_ms, m.wait_ms, m.claimed
    FROM penstock.unsampled_metrics() m
) t
GROUP BY t.at, t.queue;
COMMENT ON COLUMN penstock.throughput_by_minute.at IS 'Where the minute starts.';
COMMENT ON COLUMN penstock.throughput_by_minute.queue IS 'The queue.';
COMMENT ON COLUMN penstock.throughput_by_minute.enqueued IS 'Jobs added, redriven ones too.';
COMMENT ON COLUMN penstock.throughput_by_minute.completed IS 'Jobs that completed.';
COMMENT ON COLUMN penstock.throughput_by_minute.failed IS 'Attempts that failed.';
COMMENT ON COLUMN penstock.throughput_by_minute.lost IS 'Attempts that ended with their worker.';
COMMENT ON COLUMN penstock.throughput_by_minute.snoozed IS 'Attempts that put their job off.';
COMMENT ON COLUMN penstock.throughput_by_minute.released IS 'Attempts that gave their job back.';
COMMENT ON COLUMN penstock.throughput_by_minute.cancelled IS 'Jobs that were cancelled, waiting or running.';
COMMENT ON COLUMN penstock.throughput_by_minute.expired IS 'Jobs that were not started in time.';
COMMENT ON COLUMN penstock.throughput_by_minute.died IS 'Jobs that went to the dead letter queue.';
COMMENT ON COLUMN penstock.throughput_by_minute.avg_processing_ms IS 'Mean time from claim to end of those that completed.';
COMMENT ON COLUMN penstock.throughput_by_minute.avg_wait_ms IS 'Mean time from due to claim of the attempts that ended.';
