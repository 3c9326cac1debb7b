-- How long attempts took, by hour, queue, name and metric, for the last months (settings.hours_kept).
-- Up to half a minute behind.
CREATE OR REPLACE VIEW penstock.attempt_stats AS
SELECT l.at, l.queue, l.name, l.metric, l.jobs, l.total_ms / l.jobs AS avg_ms, l.least_ms AS min_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.5), l.least_ms), l.most_ms) AS p50_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.95), l.least_ms), l.most_ms) AS p95_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.99), l.least_ms), l.most_ms) AS p99_ms, l.most_ms AS max_ms,
    sqrt(greatest(l.squares / l.jobs - power(l.total_ms / l.jobs, 2), 0)) AS deviation_ms
FROM (
    SELECT s.at, s.queue, s.name, s.metric, s.jobs, s.total_ms, s.squares, s.least_ms, s.most_ms, s.buckets, s.counts
    FROM penstock.latency_samples s WHERE s.step = 'hour' AND s.name <> '*'
    UNION ALL
    SELECT u.at, u.queue, u.name, u.metric, u.jobs, u.total_ms, u.squares, u.least_ms, u.most_ms, u.buckets, u.counts
    FROM penstock.unrolled_latencies() u WHERE u.name <> '*'
) l;
COMMENT ON COLUMN penstock.attempt_stats.at IS 'Where the hour starts (UTC).';
COMMENT ON COLUMN penstock.attempt_stats.queue IS 'The queue.';
COMMENT ON COLUMN penstock.attempt_stats.name IS 'The name of the jobs.';
COMMENT ON COLUMN penstock.attempt_stats.metric IS
    'processing: from claim to end, of those that completed; wait: from due to claim, of all that were claimed; total: from due to end, of those that completed.';
COMMENT ON COLUMN penstock.attempt_stats.jobs IS 'How many attempts.';
COMMENT ON COLUMN penstock.attempt_stats.avg_ms IS 'Mean.';
COMMENT ON COLUMN penstock.attempt_stats.min_ms IS 'Shortest.';
COMMENT ON COLUMN penstock.attempt_stats.p50_ms IS 'Median, within 1%.';
COMMENT ON COLUMN penstock.attempt_stats.p95_ms IS '95th percentile, within 1%.';
COMMENT ON COLUMN penstock.attempt_stats.p99_ms IS '99th percentile, within 1%.';
COMMENT ON COLUMN penstock.attempt_stats.max_ms IS 'Longest.';
COMMENT ON COLUMN penstock.attempt_stats.deviation_ms IS 'Standard deviation.';
