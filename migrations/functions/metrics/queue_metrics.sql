-- Returns the figures of a queue: its state now, and what happened in the span before, which starts
-- at a minute (since), or at an hour if it is longer than two days. Without a queue it returns a
-- row for each, and one for all of them with a null queue. A rate of something that did not happen
-- is null. Rates are per second.
--   success_rate       completed / (completed + failed), of attempts
--   average_wait_ms    from due to claim; jobs that are due now count with their age
--   drain_rate         jobs that left: completed, cancelled, expired, died
--   drain_seconds      until nothing is due at these rates; null: never
--   capacity           slots of live workers / mean processing time
--   utilisation        running / slots, at most 1
CREATE OR REPLACE FUNCTION penstock.queue_metrics(queue text DEFAULT NULL, span interval DEFAULT '1 hour') RETURNS SETOF penstock.queue_figures
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    since_ timestamptz;
BEGIN
    IF span IS NULL OR span NOT BETWEEN '1 minute' AND '731 days' THEN
        PERFORM refuse('span', '1 minute to 731 days', span::text);
    END IF;
    since_ := sampled_since(moment - span, span);
    RETURN QUERY
    WITH happened AS (
        SELECT m.* FROM covering_steps(since_, moment + interval '1 minute') c
        CROSS JOIN LATERAL samples_between(queue_metrics.queue, c.step, c.low, c.high) m
        UNION ALL
        -- Those without a claim, one for each enqueue, are added up first.
        SELECT m.* FROM metrics_of(ARRAY(
            SELECT t FROM tallies t
            WHERE t.claimed_at IS NOT NULL AND t.at >= since_ AND (queue_metrics.queue IS NULL OR t.queue = queue_metrics.queue)
            UNION ALL
            SELECT ROW(max(t.at), NULL, sum(t.jobs), t.dead, t.queue, NULL, t.outcome, NULL, NULL, NULL)::tallies FROM tallies t
            WHERE t.claimed_at IS NULL AND t.at >= since_ AND (queue_metrics.queue IS NULL OR t.queue = queue_metrics.queue)
            GROUP BY t.queue, t.outcome, t.dead), 'minute') m
    ), each AS (
        SELECT s.queue, s.at, s.waiting, s.scheduled, s.retrying, s.due, s.running, s.dead, s.slots, s.oldest_due,
            s.due * (epoch_us(moment - s.mean_due) / 1000) AS due_ms, 0::bigint AS enqueued, 0::bigint AS completed,
            0::bigint AS failed, 0::bigint AS lost, 0::bigint AS snoozed, 0::bigint AS released, 0::bigint AS cancelled,
            0::bigint AS expired, 0::bigint AS died, 0::bigint AS claimed, 0::float8 AS processing_ms, 0::float8 AS wait_ms
        FROM states_of(queue_metrics.queue) s
        UNION ALL
        SELECT h.queue, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, 0, h.enqueued, h.completed, h.failed, h.lost, h.snoozed, h.released,
            h.cancelled, h.expired, h.died, h.claimed, h.processing_ms, h.wait_ms FROM happened h
        UNION ALL
        SELECT queue_metrics.queue, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        WHERE queue_metrics.queue IS NOT NULL
    ), summed AS (
        SELECT e.queue, min(e.at) AS at, sum(e.waiting)::bigint AS waiting, sum(e.scheduled)::bigint AS scheduled,
            sum(e.retrying)::bigint AS retrying, sum(e.due)::bigint AS due, sum(e.running)::bigint AS running,
            sum(e.dead)::bigint AS dead, sum(e.slots)::integer AS slots, min(e.oldest_due) AS oldest_due, sum(e.due_ms) AS due_ms,
            sum(e.enqueued)::bigint AS enqueued, sum(e.completed)::bigint AS completed, sum(e.failed)::bigint AS failed,
            sum(e.lost)::bigint AS lost, sum(e.snoozed)::bigint AS snoozed, sum(e.released)::bigint AS released,
            sum(e.cancelled)::bigint AS cancelled, sum(e.expired)::bigint AS expired, sum(e.died)::bigint AS died,
            sum(e.claimed)::bigint AS claimed, sum(e.processing_ms) AS processing_ms, sum(e.wait_ms) AS wait_ms,
            sum(e.completed) / extract(epoch FROM moment - since_)::float8 AS throughput,
            sum(e.enqueued) / extract(epoch FROM moment - since_)::float8 AS arrivals,
            sum(e.completed + e.cancelled + e.expired + e.died) / extract(epoch FROM moment - since_)::float8 AS drain,
            sum(e.processing_ms) / nullif(sum(e.completed), 0)::float8 AS mean_ms
        FROM each e GROUP BY GROUPING SETS ((e.queue), ())
        HAVING grouping(e.queue) = CASE WHEN queue_metrics.queue IS NULL THEN grouping(e.queue) ELSE 0 END
    )
    SELECT s.queue, moment, since_, coalesce(s.at, moment), coalesce(s.waiting, 0), coalesce(s.scheduled, 0), coalesce(s.retrying, 0),
        coalesce(s.due, 0), coalesce(s.running, 0), coalesce(s.dead, 0), coalesce(s.slots, 0), coalesce(s.enqueued, 0),
        coalesce(s.completed, 0), coalesce(s.failed, 0), coalesce(s.lost, 0), coalesce(s.snoozed, 0), coalesce(s.released, 0),
        coalesce(s.cancelled, 0), coalesce(s.expired, 0), coalesce(s.died, 0),
        s.completed / nullif(s.completed + s.failed, 0)::float8, s.failed / nullif(s.completed + s.failed, 0)::float8, s.mean_ms,
        (s.wait_ms + coalesce(s.due_ms, 0)) / nullif(s.claimed + s.due, 0), epoch_us(moment - s.oldest_due) / 1000,
        coalesce(s.throughput, 0), coalesce(s.throughput * 3600, 0), coalesce(s.arrivals, 0), coalesce(s.drain, 0),
        CASE WHEN coalesce(s.due, 0) = 0 THEN 0 WHEN s.drain > s.arrivals THEN s.due / (s.drain - s.arrivals) END,
        s.slots * 1000 / nullif(s.mean_ms, 0), least(s.running, s.slots) / nullif(s.slots, 0)::float8
    FROM summed s ORDER BY s.queue NULLS FIRST;
END $$;
