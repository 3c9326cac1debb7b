-- The rows of performance.
CREATE OR REPLACE VIEW penstock.latencies AS
SELECT l.metric, ''::text AS source, l.at AS since, l.at AS until, l.jobs, m.waiting AS average_ms, m.waiting AS median_ms,
    m.waiting AS p95_ms, m.waiting AS p99_ms, m.waiting AS least_ms, m.waiting AS most_ms, m.waiting AS deviation_ms
FROM penstock.latency_samples l, penstock.metric_samples m WHERE false;
