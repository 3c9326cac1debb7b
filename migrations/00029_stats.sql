-- Views over what is counted: the state of queues, and their history. They read the
-- same sums as the library, so that there is one definition of each figure.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
CREATE VIEW penstock.queue_stats AS
SELECT s.queue, coalesce(q.paused, false) AS paused, s.waiting, s.scheduled, s.retrying, s.due, s.running, s.dead,
    coalesce(w.workers, 0) AS workers, s.slots, s.running::float8 / nullif(s.slots, 0) AS utilisation, s.oldest_due AS oldest_due_at,
    coalesce(greatest(extract(epoch FROM s.at - s.oldest_due)::float8 * 1000, 0), 0) AS oldest_due_ms
FROM penstock.live_states s
LEFT JOIN penstock.queues q ON q.queue = s.queue
LEFT JOIN penstock.queue_slots w ON w.queue = s.queue;
COMMENT ON VIEW penstock.queue_stats IS
    'One row per queue that has a job, a worker or settings, as of now. Reads what waits, runs or is dead, never what has finished.';
COMMENT ON COLUMN penstock.queue_stats.queue IS 'The queue.';
COMMENT ON COLUMN penstock.queue_stats.paused IS 'Claims hand out nothing.';
COMMENT ON COLUMN penstock.queue_stats.waiting IS 'Jobs that are due and have not failed.';
COMMENT ON COLUMN penstock.queue_stats.scheduled IS 'Jobs that are due later and have not failed.';
COMMENT ON COLUMN penstock.queue_stats.retrying IS 'Jobs that wait after a failure or a crash, due or not.';
COMMENT ON COLUMN penstock.queue_stats.due IS 'Jobs that a claim could take now: waiting, and retrying ones whose time has come.';
COMMENT ON COLUMN penstock.queue_stats.running IS 'Jobs that are claimed.';
COMMENT ON COLUMN penstock.queue_stats.dead IS 'Jobs in the dead letter queue.';
COMMENT ON COLUMN penstock.queue_stats.workers IS 'Live workers that serve the queue.';
COMMENT ON COLUMN penstock.queue_stats.slots IS 'How many jobs these run at once.';
COMMENT ON COLUMN penstock.queue_stats.utilisation IS 'running / slots; null without slots.';
COMMENT ON COLUMN penstock.queue_stats.oldest_due_at IS 'Since when the job due longest has been due; null when none is.';
COMMENT ON COLUMN penstock.queue_stats.oldest_due_ms IS 'How long that is, 0 when none is due.';

-- +goose StatementBegin
-- What was tallied and is not in the samples yet, by minute.
CREATE FUNCTION penstock.unsampled_metrics() RETURNS SETOF penstock.metric_samples
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT * FROM metrics_of(ARRAY(SELECT t FROM tallies t), 'minute')
$$;
-- +goose StatementEnd

-- What was sampled, and what was tallied since: together exact at any moment.
CREATE VIEW penstock.throughput_by_minute AS
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
COMMENT ON VIEW penstock.throughput_by_minute IS
    'What happened in each queue in each minute of the last days (settings.minutes_kept). A minute without a row is one in which nothing happened or nobody looked.';
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

-- +goose StatementBegin
-- The hours that are not rolled up yet, from their minutes.
CREATE FUNCTION penstock.unrolled_latencies() RETURNS SETOF penstock.latency_samples
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = penstock, pg_temp AS $$
    SELECT m.* FROM sampling s
    CROSS JOIN LATERAL generate_series(s.rolled_to, now(), interval '1 hour') h(hour)
    CROSS JOIN LATERAL merged_latencies(h.hour, h.hour + interval '1 hour') m
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The duration that a share (0 to 1) of those counted did not exceed, by the nearest
-- rank: within 1% of it. Null where none is counted. A loop, since it is called for
-- every row that a report looks at: 76 us for 300 buckets, a query takes 500.
CREATE FUNCTION penstock.percentile_ms(buckets smallint[], counts bigint[], share float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    rank  bigint := 0;
    place integer := 0;
    jobs  bigint;
BEGIN
    FOREACH jobs IN ARRAY counts LOOP
        rank := rank + jobs;
    END LOOP;
    rank := greatest(ceil(share * rank), least(rank, 1));
    WHILE rank > 0 LOOP
        place := place + 1;
        rank := rank - counts[place];
    END LOOP;
    RETURN penstock.bucket_ms(buckets[place]);
END $$;
-- +goose StatementEnd

CREATE VIEW penstock.attempt_stats AS
SELECT l.at, l.queue, l.name, l.metric, l.jobs, l.total_ms / l.jobs AS avg_ms, l.least_ms AS min_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.5), l.least_ms), l.most_ms) AS p50_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.95), l.least_ms), l.most_ms) AS p95_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.99), l.least_ms), l.most_ms) AS p99_ms, l.most_ms AS max_ms,
    sqrt(greatest(l.squares / l.jobs - power(l.total_ms / l.jobs, 2), 0)) AS deviation_ms
FROM (
    SELECT s.at, s.queue, s.name, s.metric, s.jobs, s.total_ms, s.squares, s.least_ms, s.most_ms, s.buckets, s.counts
    FROM penstock.latency_samples s WHERE s.step = 'hour'
    UNION ALL
    SELECT u.at, u.queue, u.name, u.metric, u.jobs, u.total_ms, u.squares, u.least_ms, u.most_ms, u.buckets, u.counts
    FROM penstock.unrolled_latencies() u
) l;
COMMENT ON VIEW penstock.attempt_stats IS
    'How long attempts took, by hour, queue, name and metric, for the last months (settings.hours_kept). Up to half a minute behind.';
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

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP VIEW penstock.attempt_stats, penstock.throughput_by_minute, penstock.queue_stats;
DROP FUNCTION penstock.percentile_ms(smallint[], bigint[], float8), penstock.unrolled_latencies(), penstock.unsampled_metrics();
