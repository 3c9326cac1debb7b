-- name: ListQueueSamples :many
-- What sample_metrics saw last of each queue: a small row each, nothing is counted.
SELECT s.queue, s.at, extract(epoch FROM now() - s.at)::float8 AS age_seconds, s.waiting, s.scheduled, s.retrying, s.running, s.dead,
    s.slots, coalesce(extract(epoch FROM now() - s.oldest_due), 0)::float8 AS oldest_seconds, coalesce(q.paused, false)::boolean AS paused
FROM penstock.queue_states s LEFT JOIN penstock.queues q ON q.queue = s.queue
ORDER BY s.queue;
