-- Returns the history of a queue, or of all together (null): a row for each minute, hour or day at
-- or after since and before until that has samples. Sums are those of the step; the state is its
-- mean; most_waiting and oldest_waiting_ms are its maximum.
CREATE OR REPLACE FUNCTION penstock.history(queue text, since timestamptz, until timestamptz, step text DEFAULT 'minute')
RETURNS SETOF penstock.metric_samples
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    rolled_to CONSTANT timestamptz := (SELECT s.rolled_to FROM sampling s);
BEGIN
    IF history.step IS NULL OR history.step NOT IN ('minute', 'hour', 'day') THEN
        PERFORM refuse('step', 'minute, hour or day', history.step);
    ELSIF history.since IS NULL OR history.until IS NULL OR history.since >= history.until THEN
        PERFORM refuse('since', 'before until', history.since::text);
    ELSIF extract(epoch FROM history.until - history.since) > 12000 * extract(epoch FROM ('1 ' || history.step)::interval) THEN
        PERFORM refuse('since', format('at most 12000 %ss before until', history.step), history.since::text);
    END IF;
    RETURN QUERY
    WITH parts AS (
        SELECT m.* FROM metric_samples m
        WHERE m.step = history.step AND m.at >= date_trunc(history.step, history.since, 'UTC') AND m.at < history.until
          AND (history.queue IS NULL OR m.queue = history.queue)
        UNION ALL
        SELECT m.* FROM metric_samples m
        WHERE history.step <> 'minute' AND m.step = 'minute' AND m.at >= greatest(rolled_to, date_trunc(history.step, history.since, 'UTC'))
          AND m.at < history.until AND (history.queue IS NULL OR m.queue = history.queue)
    ), each AS (SELECT s.* FROM sum_samples(ARRAY(SELECT p::metric_samples FROM parts p), history.step) s)
    SELECT e.at, sum(e.enqueued)::bigint, sum(e.completed)::bigint, sum(e.failed)::bigint, sum(e.lost)::bigint,
        sum(e.snoozed)::bigint, sum(e.released)::bigint, sum(e.cancelled)::bigint, sum(e.expired)::bigint, sum(e.died)::bigint,
        sum(e.claimed)::bigint, sum(e.processing_ms), sum(e.wait_ms), max(e.samples), sum(e.waiting), sum(e.scheduled),
        sum(e.retrying), sum(e.running), sum(e.dead), sum(e.slots), sum(e.most_waiting)::bigint, max(e.oldest_waiting_ms),
        coalesce(history.queue, ''), history.step
    FROM each e GROUP BY e.at ORDER BY e.at;
END $$;
