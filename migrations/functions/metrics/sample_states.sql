-- Counts the state of every queue and adds it to the samples of this minute.
-- REQUIRES: the lock of sample_metrics.
CREATE OR REPLACE FUNCTION penstock.sample_states() RETURNS void
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    -- One statement, so that the counts and the tallies are of one moment.
    states queue_states[] := ARRAY(
        SELECT ROW(coalesce(s.queue, u.queue), coalesce(s.at, clock_timestamp()), coalesce(s.waiting, 0), coalesce(s.scheduled, 0),
            coalesce(s.retrying, 0), coalesce(s.due, 0), coalesce(s.running, 0), coalesce(s.dead, 0), coalesce(s.slots, 0),
            s.oldest_due, s.mean_due, coalesce(-u.came, 0), coalesce(-u.later, 0))::queue_states
        FROM live_states s FULL JOIN unfolded u ON u.queue = s.queue);
BEGIN
    DELETE FROM queue_states q WHERE NOT EXISTS (SELECT FROM unnest(states) s WHERE s.queue = q.queue);
    INSERT INTO queue_states AS q (queue, at, waiting, scheduled, retrying, due, running, dead, slots, oldest_due, mean_due, came, came_later)
    SELECT s.* FROM unnest(states) s
    ON CONFLICT (queue) DO UPDATE SET at = excluded.at, waiting = excluded.waiting, scheduled = excluded.scheduled,
        retrying = excluded.retrying, due = excluded.due, running = excluded.running, dead = excluded.dead,
        slots = excluded.slots, oldest_due = excluded.oldest_due, mean_due = excluded.mean_due,
        came = excluded.came, came_later = excluded.came_later;
    PERFORM add_metric_samples(ARRAY(SELECT ROW(date_trunc('minute', s.at, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, s.waiting, s.scheduled, s.retrying, s.running, s.dead, s.slots, s.waiting,
            coalesce(epoch_us(s.at - s.oldest_due) / 1000, 0), s.queue, 'minute')::metric_samples
        FROM unnest(states) s));
END $$;
