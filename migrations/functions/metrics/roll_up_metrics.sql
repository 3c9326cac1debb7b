-- Sums the minutes of every completed hour into the hour and its day, and returns how many hours.
-- Null while another session works on the samples.
CREATE OR REPLACE FUNCTION penstock.roll_up_metrics() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    until  CONSTANT timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
    hour   timestamptz;
    rolled integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('penstock'), hashtext('metrics')) THEN
        RETURN NULL;
    END IF;
    FOR hour IN
        SELECT DISTINCT date_trunc('hour', m.at, 'UTC') FROM metric_samples m
        WHERE m.step = 'minute' AND m.at >= (SELECT s.rolled_to FROM sampling s) AND m.at < until ORDER BY 1
    LOOP
        PERFORM add_metric_samples(ARRAY(
            SELECT ROW(date_trunc(s.step, hour, 'UTC'), sum(m.enqueued), sum(m.completed), sum(m.failed), sum(m.lost), sum(m.snoozed),
                sum(m.released), sum(m.cancelled), sum(m.expired), sum(m.died), sum(m.claimed), sum(m.processing_ms),
                sum(m.wait_ms), sum(m.samples), sum(m.waiting * m.samples) / nullif(sum(m.samples), 0),
                sum(m.scheduled * m.samples) / nullif(sum(m.samples), 0), sum(m.retrying * m.samples) / nullif(sum(m.samples), 0),
                sum(m.running * m.samples) / nullif(sum(m.samples), 0), sum(m.dead * m.samples) / nullif(sum(m.samples), 0),
                sum(m.slots * m.samples) / nullif(sum(m.samples), 0), max(m.most_waiting), max(m.oldest_waiting_ms),
                m.queue, s.step)::metric_samples
            FROM metric_samples m CROSS JOIN (VALUES ('hour'), ('day')) s(step)
            WHERE m.step = 'minute' AND m.at >= hour AND m.at < hour + interval '1 hour' GROUP BY m.queue, s.step));
        PERFORM add_latency_samples(ARRAY(
            SELECT ROW(date_trunc(s.step, hour, 'UTC'), l.jobs, l.total_ms, l.squares, l.least_ms, l.most_ms, l.queue, s.step,
                l.name, l.metric, l.buckets, l.counts)::latency_samples
            FROM merged_latencies(hour, hour + interval '1 hour') l CROSS JOIN (VALUES ('hour'), ('day')) s(step)));
        rolled := rolled + 1;
    END LOOP;
    UPDATE sampling SET rolled_to = until WHERE rolled_to < until;
    RETURN rolled;
END $$;
