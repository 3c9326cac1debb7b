-- Adds rows to metric_samples, at most one for each key.
CREATE OR REPLACE FUNCTION penstock.add_metric_samples(fresh penstock.metric_samples[]) RETURNS void
LANGUAGE sql SET search_path = penstock, pg_temp SET jit = off AS $$
    INSERT INTO metric_samples AS m SELECT f.* FROM unnest(fresh) f ORDER BY f.queue, f.step, f.at
    ON CONFLICT (queue, step, at) DO UPDATE SET
        enqueued = m.enqueued + excluded.enqueued, completed = m.completed + excluded.completed,
        failed = m.failed + excluded.failed, lost = m.lost + excluded.lost, snoozed = m.snoozed + excluded.snoozed,
        released = m.released + excluded.released, cancelled = m.cancelled + excluded.cancelled,
        expired = m.expired + excluded.expired, died = m.died + excluded.died, claimed = m.claimed + excluded.claimed,
        processing_ms = m.processing_ms + excluded.processing_ms, wait_ms = m.wait_ms + excluded.wait_ms,
        samples = m.samples + excluded.samples,
        waiting = mean_of(m.waiting, m.samples, excluded.waiting, excluded.samples),
        scheduled = mean_of(m.scheduled, m.samples, excluded.scheduled, excluded.samples),
        retrying = mean_of(m.retrying, m.samples, excluded.retrying, excluded.samples),
        running = mean_of(m.running, m.samples, excluded.running, excluded.samples),
        dead = mean_of(m.dead, m.samples, excluded.dead, excluded.samples),
        slots = mean_of(m.slots, m.samples, excluded.slots, excluded.samples),
        most_waiting = greatest(m.most_waiting, excluded.most_waiting),
        oldest_waiting_ms = greatest(m.oldest_waiting_ms, excluded.oldest_waiting_ms)
$$;
