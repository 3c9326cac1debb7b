-- Sums samples up by the given step and their queue.
CREATE OR REPLACE FUNCTION penstock.sum_samples(given penstock.metric_samples[], step text) RETURNS SETOF penstock.metric_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp SET jit = off AS $$
    SELECT date_trunc(sum_samples.step, m.at, 'UTC') AS at, sum(m.enqueued)::bigint, sum(m.completed)::bigint, sum(m.failed)::bigint,
        sum(m.lost)::bigint, sum(m.snoozed)::bigint, sum(m.released)::bigint, sum(m.cancelled)::bigint, sum(m.expired)::bigint,
        sum(m.died)::bigint, sum(m.claimed)::bigint, sum(m.processing_ms), sum(m.wait_ms), sum(m.samples)::integer,
        sum(m.waiting * m.samples) / nullif(sum(m.samples), 0), sum(m.scheduled * m.samples) / nullif(sum(m.samples), 0),
        sum(m.retrying * m.samples) / nullif(sum(m.samples), 0), sum(m.running * m.samples) / nullif(sum(m.samples), 0),
        sum(m.dead * m.samples) / nullif(sum(m.samples), 0), sum(m.slots * m.samples) / nullif(sum(m.samples), 0),
        max(m.most_waiting), max(m.oldest_waiting_ms), m.queue, sum_samples.step
    FROM unnest(given) m GROUP BY 1, m.queue
$$;
