-- The rows of queue_metrics.
CREATE OR REPLACE VIEW penstock.queue_figures AS
SELECT t.name AS queue, s.at, m.at AS since, s.at AS state_at, s.waiting, s.scheduled, s.retrying, s.due, s.running, s.dead, s.slots,
    m.enqueued, m.completed, m.failed, m.lost, m.snoozed, m.released, m.cancelled, m.expired, m.died,
    m.waiting AS success_rate, m.waiting AS failure_rate, m.waiting AS average_processing_ms, m.waiting AS average_wait_ms,
    m.waiting AS oldest_waiting_ms, m.wait_ms AS throughput, m.wait_ms AS jobs_per_hour, m.wait_ms AS arrival_rate,
    m.wait_ms AS drain_rate, m.waiting AS drain_seconds, m.waiting AS capacity, m.waiting AS utilisation
FROM penstock.queue_states s, penstock.metric_samples m, penstock.tallies t WHERE false;
