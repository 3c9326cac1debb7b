-- Reading the figures: how a queue does now, how long its attempts take, and how it
-- went. Everything is summed from samples by the coarsest step that fits, and from
-- the tallies that are in none yet, so an answer is exact at every moment and costs
-- the same however many jobs have finished.

-- penstock: serves binaries from schema 1 (v0.1.0)

-- +goose Up
ALTER TABLE penstock.queue_states ADD COLUMN mean_due timestamptz;
COMMENT ON COLUMN penstock.queue_states.mean_due IS 'When the jobs that are due fell due, on the average.';

-- The state of each queue that has anything: a job, a worker, settings. Reads all that
-- waits, runs or is dead, and nothing that has finished.
CREATE OR REPLACE VIEW penstock.live_states AS
SELECT c.queue, clock_timestamp() AS at, sum(c.waiting)::bigint AS waiting, sum(c.scheduled)::bigint AS scheduled,
    sum(c.retrying)::bigint AS retrying, sum(c.due)::bigint AS due, sum(c.running)::bigint AS running,
    sum(c.dead)::bigint AS dead, sum(c.slots)::integer AS slots, min(c.oldest_due) AS oldest_due,
    to_timestamp(min(c.mean_due)) AS mean_due
FROM (
    SELECT p.queue, count(*) FILTER (WHERE p.failures + p.crashes = 0 AND p.run_at <= now()) AS waiting,
        count(*) FILTER (WHERE p.failures + p.crashes = 0 AND p.run_at > now()) AS scheduled,
        count(*) FILTER (WHERE p.failures + p.crashes > 0) AS retrying,
        count(*) FILTER (WHERE p.run_at <= now()) AS due, 0 AS running, 0 AS dead, 0 AS slots,
        min(p.run_at) FILTER (WHERE p.run_at <= now()) AS oldest_due,
        avg(date_part('epoch', p.run_at)) FILTER (WHERE p.run_at <= now()) AS mean_due
    FROM penstock.pending p GROUP BY p.queue
    UNION ALL SELECT r.queue, 0, 0, 0, 0, count(*), 0, 0, NULL, NULL FROM penstock.running r GROUP BY r.queue
    UNION ALL SELECT d.queue, 0, 0, 0, 0, 0, count(*), 0, NULL, NULL FROM penstock.dead_jobs d GROUP BY d.queue
    UNION ALL SELECT s.queue, 0, 0, 0, 0, 0, 0, s.slots, NULL, NULL FROM penstock.queue_slots s
    UNION ALL SELECT q.queue, 0, 0, 0, 0, 0, 0, 0, NULL, NULL FROM penstock.queues q
) c
GROUP BY c.queue;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.sample_states() RETURNS void
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    states live_states[] := ARRAY(SELECT s FROM live_states s);
BEGIN
    DELETE FROM queue_states q WHERE NOT EXISTS (SELECT FROM unnest(states) s WHERE s.queue = q.queue);
    INSERT INTO queue_states AS q (queue, at, waiting, scheduled, retrying, due, running, dead, slots, oldest_due, mean_due)
    SELECT s.* FROM unnest(states) s
    ON CONFLICT (queue) DO UPDATE SET at = excluded.at, waiting = excluded.waiting, scheduled = excluded.scheduled,
        retrying = excluded.retrying, due = excluded.due, running = excluded.running, dead = excluded.dead,
        slots = excluded.slots, oldest_due = excluded.oldest_due, mean_due = excluded.mean_due;
    PERFORM add_metric_samples(ARRAY(SELECT ROW(date_trunc('minute', s.at, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, s.waiting, s.scheduled, s.retrying, s.running, s.dead, s.slots, s.waiting,
            coalesce(epoch_us(s.at - s.oldest_due) / 1000, 0), s.queue, 'minute')::metric_samples
        FROM unnest(states) s));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- How long the attempts of tallies took, of each name and of all of them together (*):
-- a queue is asked about as a whole more often than not, and has many names.
CREATE OR REPLACE FUNCTION penstock.latencies_of(given penstock.tallies[], step text) RETURNS SETOF penstock.latency_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    WITH times AS (
        SELECT date_trunc(step, t.at, 'UTC') AS at, t.queue, t.name, m.metric, duration_bucket(m.ms * 1000) AS bucket,
            sum(d.jobs)::bigint AS jobs, sum(m.ms * d.jobs) AS total_ms, sum(m.ms * m.ms * d.jobs) AS squares,
            min(m.ms) AS least_ms, max(m.ms) AS most_ms
        FROM unnest(given) t CROSS JOIN LATERAL unnest(t.run_ats, t.jobs_each) d(run_at, jobs)
        CROSS JOIN LATERAL (VALUES ('wait', epoch_us(t.claimed_at - d.run_at) / 1000),
            ('processing', epoch_us(t.at - t.claimed_at) / 1000), ('total', epoch_us(t.at - d.run_at) / 1000)) m(metric, ms)
        WHERE t.outcome = 'completed' OR m.metric = 'wait'
        GROUP BY 1, t.queue, t.name, m.metric, 5
    ), buckets AS (
        SELECT * FROM times UNION ALL
        SELECT t.at, t.queue, '*', t.metric, t.bucket, sum(t.jobs)::bigint, sum(t.total_ms), sum(t.squares), min(t.least_ms), max(t.most_ms)
        FROM times t GROUP BY t.at, t.queue, t.metric, t.bucket
    )
    SELECT b.at, sum(b.jobs)::bigint, sum(b.total_ms), sum(b.squares), min(b.least_ms), max(b.most_ms), b.queue, step, b.name, b.metric,
        array_agg(b.bucket ORDER BY b.bucket), array_agg(b.jobs ORDER BY b.bucket)
    FROM buckets b GROUP BY b.at, b.queue, b.name, b.metric
$$;
-- +goose StatementEnd
COMMENT ON COLUMN penstock.latency_samples.name IS 'A name, or * for all names of the queue together.';

-- It is about names, as before.
CREATE OR REPLACE VIEW penstock.attempt_stats AS
SELECT l.at, l.queue, l.name, l.metric, l.jobs, l.total_ms / l.jobs AS avg_ms, l.least_ms AS min_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.5), l.least_ms), l.most_ms) AS p50_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.95), l.least_ms), l.most_ms) AS p95_ms,
    least(greatest(penstock.percentile_ms(l.buckets, l.counts, 0.99), l.least_ms), l.most_ms) AS p99_ms, l.most_ms AS max_ms,
    sqrt(greatest(l.squares / l.jobs - power(l.total_ms / l.jobs, 2), 0)) AS deviation_ms
FROM (
    SELECT s.at, s.queue, s.name, s.metric, s.jobs, s.total_ms, s.squares, s.least_ms, s.most_ms, s.buckets, s.counts
    FROM penstock.latency_samples s WHERE s.step = 'hour' AND s.name <> '*'
    UNION ALL
    SELECT u.at, u.queue, u.name, u.metric, u.jobs, u.total_ms, u.squares, u.least_ms, u.most_ms, u.buckets, u.counts
    FROM penstock.unrolled_latencies() u WHERE u.name <> '*'
) l;

-- +goose StatementBegin
-- The state of one queue, or of all (null): counted now, unless more than 100,000 jobs
-- wait or are dead, which the last look counted, seconds ago (at).
CREATE FUNCTION penstock.states_of(queue text) RETURNS SETOF penstock.live_states
LANGUAGE plpgsql STABLE SET search_path = penstock, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF (SELECT sum(q.waiting + q.scheduled + q.retrying + q.dead) FROM queue_states q
        WHERE (states_of.queue IS NULL OR q.queue = states_of.queue) AND q.at > clock_timestamp() - interval '11 minutes') > 100000 THEN
        RETURN QUERY SELECT q.queue, q.at, q.waiting, q.scheduled, q.retrying, q.due, q.running, q.dead, q.slots, q.oldest_due, q.mean_due
            FROM queue_states q WHERE states_of.queue IS NULL OR q.queue = states_of.queue;
    ELSIF states_of.queue IS NULL THEN
        RETURN QUERY SELECT s.* FROM live_states s;
    ELSE
        RETURN QUERY SELECT s.* FROM live_states s WHERE s.queue = states_of.queue;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The samples that cover a span of time from the start of a minute on: days where they
-- are whole and rolled up, hours and minutes at the ends.
CREATE FUNCTION penstock.cover(since timestamptz, until timestamptz, OUT step text, OUT low timestamptz, OUT high timestamptz)
RETURNS SETOF record LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    WITH hours AS (
        SELECT date_trunc('hour', since + interval '1 hour - 1 microsecond', 'UTC') AS low,
            date_trunc('hour', least(until, s.rolled_to), 'UTC') AS high FROM sampling s
    ), days AS (
        SELECT date_trunc('day', h.low + interval '24 hours - 1 microsecond', 'UTC') AS low, date_trunc('day', h.high, 'UTC') AS high FROM hours h
    )
    SELECT r.* FROM hours h, days d, LATERAL (VALUES
        ('minute', since, CASE WHEN h.low < h.high THEN h.low ELSE until END),
        ('hour', h.low, CASE WHEN d.low < d.high THEN d.low ELSE h.high END),
        ('day', d.low, d.high),
        ('hour', greatest(d.low, d.high), CASE WHEN d.low < d.high THEN h.high END),
        ('minute', h.high, CASE WHEN h.low < h.high THEN until END)) r(step, low, high)
    WHERE r.low < r.high
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Where a span of time really starts: at a minute; at an hour when it is longer than
-- two days or no minutes are kept that far back; at a day when no hours are.
CREATE FUNCTION penstock.sampled_since(since timestamptz, span interval) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    SELECT date_trunc(CASE WHEN since < clock_timestamp() - s.hours_kept THEN 'day'
        WHEN since < clock_timestamp() - s.minutes_kept OR sampled_since.span > interval '48 hours' THEN 'hour' ELSE 'minute' END, since, 'UTC')
    FROM settings s
$$;
-- +goose StatementEnd

-- The rows of queue_metrics.
CREATE VIEW penstock.queue_figures AS
SELECT t.name AS queue, s.at, m.at AS since, s.at AS state_at, s.waiting, s.scheduled, s.retrying, s.due, s.running, s.dead, s.slots,
    m.enqueued, m.completed, m.failed, m.lost, m.snoozed, m.released, m.cancelled, m.expired, m.died,
    m.waiting AS success_rate, m.waiting AS failure_rate, m.waiting AS average_processing_ms, m.waiting AS average_wait_ms,
    m.waiting AS oldest_waiting_ms, m.wait_ms AS throughput, m.wait_ms AS jobs_per_hour, m.wait_ms AS arrival_rate,
    m.wait_ms AS drain_rate, m.waiting AS drain_seconds, m.waiting AS capacity, m.waiting AS utilisation
FROM penstock.queue_states s, penstock.metric_samples m, penstock.tallies t WHERE false;

-- +goose StatementBegin
-- How a queue does: its state now and what happened in the span of time before, which
-- starts at a minute (since), an hour when it is longer than two days. Without a queue: a row for each, and one for all of them,
-- whose queue is null. Rates of what did not happen are null; rates are per second.
--   success_rate       completed / (completed + failed), of attempts
--   average_wait_ms    from due to claim; what is due now counts with its age
--   drain_rate         jobs that left: completed, cancelled, expired, died
--   drain_seconds      until nothing is due at these rates; null: never
--   capacity           slots of live workers / mean processing time
--   utilisation        running / slots, at most 1
CREATE FUNCTION penstock.queue_metrics(queue text DEFAULT NULL, span interval DEFAULT '1 hour') RETURNS SETOF penstock.queue_figures
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
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
        SELECT m.* FROM cover(since_, moment + interval '1 minute') c
        CROSS JOIN LATERAL ( -- OFFSET 0: as in performance
            SELECT * FROM metric_samples m WHERE m.step = c.step AND m.at >= c.low AND m.at < c.high
              AND (queue_metrics.queue IS NULL OR m.queue = queue_metrics.queue) OFFSET 0) m
        UNION ALL
        SELECT m.* FROM metrics_of(ARRAY(SELECT t FROM tallies t
            WHERE t.at >= since_ AND (queue_metrics.queue IS NULL OR t.queue = queue_metrics.queue)), 'minute') m
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
-- +goose StatementEnd

-- The rows of performance.
CREATE VIEW penstock.latencies AS
SELECT l.metric, ''::text AS source, l.at AS since, l.at AS until, l.jobs, m.waiting AS average_ms, m.waiting AS median_ms,
    m.waiting AS p95_ms, m.waiting AS p99_ms, m.waiting AS least_ms, m.waiting AS most_ms, m.waiting AS deviation_ms
FROM penstock.latency_samples l, penstock.metric_samples m WHERE false;

-- +goose StatementBegin
-- How long attempts of a queue (and a name, unless null) took that ended from since on
-- and before until: a row for each metric of latency_samples. What is due at the end of
-- a span that reaches to now counts in wait with its age, so that a stall shows.
--   source attempts   from the rows, interpolated: spans of up to an hour with at most
--                     20,000 attempts of the queue and 50,000 of all
--   source samples    percentiles are within 1% of the time at their rank,
--                     floor(share x (jobs - 1)); the rest is exact. The span starts and
--                     ends at a minute. Of more than 50,000 due, a random share counts.
CREATE FUNCTION penstock.performance(queue text, name text DEFAULT NULL, since timestamptz DEFAULT now() - interval '1 hour',
    until timestamptz DEFAULT now()) RETURNS SETOF penstock.latencies
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = penstock, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    open_  CONSTANT boolean := performance.until >= now();
    start  timestamptz;
    ending timestamptz;
    due    bigint := 0;
    ages   float8[] := '{}';
    weight float8 := 1;
BEGIN
    IF performance.queue IS NULL THEN
        PERFORM refuse('queue', 'given', NULL);
    ELSIF performance.since IS NULL OR performance.since > least(performance.until, moment) THEN
        PERFORM refuse('since', 'given, before until and not ahead', performance.since::text);
    ELSIF performance.until - performance.since > interval '731 days' THEN
        PERFORM refuse('since', 'at most 731 days before until', performance.since::text);
    END IF;
    IF open_ THEN
        due := coalesce((SELECT s.due FROM states_of(performance.queue) s), 0);
        IF due > 50000 THEN
            weight := greatest((SELECT sum(q.waiting + q.scheduled + q.retrying) FROM queue_states q) / 100000, 1);
            ages := ARRAY(SELECT epoch_us(moment - p.run_at) / 1000 FROM pending p TABLESAMPLE SYSTEM (100 / weight)
                WHERE p.queue = performance.queue AND p.run_at <= moment AND (performance.name IS NULL OR p.name = performance.name));
        ELSIF due > 0 THEN
            ages := ARRAY(SELECT epoch_us(moment - p.run_at) / 1000 FROM pending p
                WHERE p.queue = performance.queue AND p.run_at <= moment AND (performance.name IS NULL OR p.name = performance.name));
        END IF;
    END IF;
    start := sampled_since(performance.since, performance.until - performance.since);
    ending := CASE WHEN open_ THEN moment ELSE date_trunc('minute', performance.until, 'UTC') END;

    IF performance.until - performance.since <= interval '1 hour' AND due <= 20000 AND (
        SELECT coalesce(sum(m.claimed), 0) <= 50000 AND coalesce(sum(m.claimed) FILTER (WHERE m.queue = performance.queue), 0) <= 20000
        FROM metric_samples m WHERE m.step = 'minute' AND m.at >= start AND m.at <= performance.until) THEN
        RETURN QUERY
        WITH ended AS MATERIALIZED (
            SELECT epoch_us(a.claimed_at - a.run_at) / 1000 AS wait, a.outcome = 'completed' AS completed,
                epoch_us(a.finished_at - a.claimed_at) / 1000 AS processing, epoch_us(a.finished_at - a.run_at) / 1000 AS total
            FROM attempts a
            WHERE a.finished_at >= performance.since AND a.finished_at < CASE WHEN open_ THEN 'infinity' ELSE performance.until END
              AND a.queue = performance.queue AND a.claimed_at IS NOT NULL AND (performance.name IS NULL OR a.name = performance.name)
        ), times AS (
            SELECT m.metric, m.ms FROM ended e CROSS JOIN LATERAL (VALUES ('processing', e.processing), ('wait', e.wait), ('total', e.total))
                m(metric, ms) WHERE e.completed OR m.metric = 'wait'
            UNION ALL SELECT 'wait', g.ms FROM unnest(ages) g(ms)
        )
        SELECT k.metric, 'attempts', performance.since, least(performance.until, moment), count(t.ms), avg(t.ms),
            percentile_cont(0.5) WITHIN GROUP (ORDER BY t.ms), percentile_cont(0.95) WITHIN GROUP (ORDER BY t.ms),
            percentile_cont(0.99) WITHIN GROUP (ORDER BY t.ms), min(t.ms), max(t.ms), stddev_pop(t.ms)
        FROM unnest('{processing,wait,total}'::text[]) WITH ORDINALITY k(metric, nth) LEFT JOIN times t ON t.metric = k.metric
        GROUP BY k.metric, k.nth ORDER BY k.nth;
        RETURN;
    END IF;

    RETURN QUERY
    WITH parts AS MATERIALIZED (
        SELECT l.* FROM cover(start, CASE WHEN open_ THEN moment + interval '1 minute' ELSE ending END) c
        CROSS JOIN LATERAL ( -- OFFSET 0: a probe of the key for each piece, which the planner would not choose
            SELECT * FROM latency_samples l WHERE l.queue = performance.queue AND l.step = c.step AND l.at >= c.low AND l.at < c.high
              AND l.name = coalesce(performance.name, '*') OFFSET 0) l
        UNION ALL
        SELECT l.* FROM latencies_of(ARRAY(SELECT t FROM tallies t WHERE t.queue = performance.queue AND t.at >= start
            AND (open_ OR t.at < ending) AND (performance.name IS NULL OR t.name = performance.name)), 'minute') l
        WHERE l.name = coalesce(performance.name, '*')
    ), sums AS (
        SELECT s.metric, sum(s.jobs) AS jobs, sum(s.total_ms) AS total_ms, sum(s.squares) AS squares, min(s.least_ms) AS least_ms,
            max(s.most_ms) AS most_ms
        FROM (SELECT p.metric, p.jobs::float8 AS jobs, p.total_ms, p.squares, p.least_ms, p.most_ms FROM parts p
              UNION ALL SELECT 'wait', count(*) * weight, sum(g.ms) * weight, sum(g.ms * g.ms) * weight, min(g.ms), max(g.ms)
              FROM unnest(ages) g(ms)) s
        GROUP BY s.metric
    ), buckets AS MATERIALIZED (
        SELECT b.metric, b.bucket, sum(sum(b.jobs)) OVER (PARTITION BY b.metric ORDER BY b.bucket) AS up_to
        FROM (SELECT p.metric, u.bucket, u.jobs::float8 AS jobs FROM parts p CROSS JOIN LATERAL unnest(p.buckets, p.counts) u(bucket, jobs)
              UNION ALL SELECT 'wait', duration_bucket(g.ms * 1000), weight FROM unnest(ages) g(ms)) b
        GROUP BY b.metric, b.bucket
    )
    SELECT k.metric, 'samples', start, ending, coalesce(round(s.jobs), 0)::bigint, s.total_ms / nullif(s.jobs, 0), q.shares[1],
        q.shares[2], q.shares[3], s.least_ms, s.most_ms,
        CASE WHEN s.jobs > 0 THEN sqrt(greatest(s.squares / s.jobs - (s.total_ms / s.jobs) ^ 2, 0)) END
    FROM unnest('{processing,wait,total}'::text[]) WITH ORDINALITY k(metric, nth)
    LEFT JOIN sums s ON s.metric = k.metric
    LEFT JOIN LATERAL (
        SELECT array_agg(greatest(least(bucket_ms(b.bucket), s.most_ms), s.least_ms) ORDER BY h.share) AS shares
        FROM unnest('{0.5,0.95,0.99}'::float8[]) h(share)
        CROSS JOIN LATERAL (SELECT min(b.bucket) AS bucket FROM buckets b
            WHERE b.metric = k.metric AND b.up_to >= floor(h.share * greatest(s.jobs - 1, 0)) + least(1, s.jobs)) b) q ON s.jobs > 0
    ORDER BY k.nth;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- How a queue went, or all of them together (null): a row for each minute, hour or day
-- from since on and before until in which anything was seen; gaps are gaps. Sums are
-- those of the step; the state is its mean, most_waiting and oldest_waiting_ms its most.
CREATE FUNCTION penstock.history(queue text, since timestamptz, until timestamptz, step text DEFAULT 'minute')
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
    ), each AS (SELECT s.* FROM summed(ARRAY(SELECT p::metric_samples FROM parts p), history.step) s)
    SELECT e.at, sum(e.enqueued)::bigint, sum(e.completed)::bigint, sum(e.failed)::bigint, sum(e.lost)::bigint,
        sum(e.snoozed)::bigint, sum(e.released)::bigint, sum(e.cancelled)::bigint, sum(e.expired)::bigint, sum(e.died)::bigint,
        sum(e.claimed)::bigint, sum(e.processing_ms), sum(e.wait_ms), max(e.samples), sum(e.waiting), sum(e.scheduled),
        sum(e.retrying), sum(e.running), sum(e.dead), sum(e.slots), sum(e.most_waiting)::bigint, max(e.oldest_waiting_ms),
        coalesce(history.queue, ''), history.step
    FROM each e GROUP BY e.at ORDER BY e.at;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Samples summed up by the step of their queue.
CREATE FUNCTION penstock.summed(given penstock.metric_samples[], step text) RETURNS SETOF penstock.metric_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    SELECT date_trunc(summed.step, m.at, 'UTC') AS at, sum(m.enqueued)::bigint, sum(m.completed)::bigint, sum(m.failed)::bigint,
        sum(m.lost)::bigint, sum(m.snoozed)::bigint, sum(m.released)::bigint, sum(m.cancelled)::bigint, sum(m.expired)::bigint,
        sum(m.died)::bigint, sum(m.claimed)::bigint, sum(m.processing_ms), sum(m.wait_ms), sum(m.samples)::integer,
        sum(m.waiting * m.samples) / nullif(sum(m.samples), 0), sum(m.scheduled * m.samples) / nullif(sum(m.samples), 0),
        sum(m.retrying * m.samples) / nullif(sum(m.samples), 0), sum(m.running * m.samples) / nullif(sum(m.samples), 0),
        sum(m.dead * m.samples) / nullif(sum(m.samples), 0), sum(m.slots * m.samples) / nullif(sum(m.samples), 0),
        max(m.most_waiting), max(m.oldest_waiting_ms), m.queue, summed.step
    FROM unnest(given) m GROUP BY 1, m.queue
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;

-- +goose Down
DROP FUNCTION penstock.summed(penstock.metric_samples[], text), penstock.history(text, timestamptz, timestamptz, text),
    penstock.performance(text, text, timestamptz, timestamptz), penstock.queue_metrics(text, interval),
    penstock.sampled_since(timestamptz, interval), penstock.cover(timestamptz, timestamptz), penstock.states_of(text);
DROP VIEW penstock.latencies, penstock.queue_figures;
-- A view keeps its columns: live_states stays as it is.
ALTER TABLE penstock.queue_states DROP COLUMN mean_due;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.sample_states() RETURNS void
LANGUAGE plpgsql SET search_path = penstock, pg_temp SET jit = off AS $$
DECLARE
    states live_states[] := ARRAY(SELECT s FROM live_states s);
BEGIN
    DELETE FROM queue_states q WHERE NOT EXISTS (SELECT FROM unnest(states) s WHERE s.queue = q.queue);
    INSERT INTO queue_states AS q (queue, at, waiting, scheduled, retrying, due, running, dead, slots, oldest_due)
    SELECT s.queue, s.at, s.waiting, s.scheduled, s.retrying, s.due, s.running, s.dead, s.slots, s.oldest_due
    FROM unnest(states) s
    ON CONFLICT (queue) DO UPDATE SET at = excluded.at, waiting = excluded.waiting, scheduled = excluded.scheduled,
        retrying = excluded.retrying, due = excluded.due, running = excluded.running, dead = excluded.dead,
        slots = excluded.slots, oldest_due = excluded.oldest_due;
    PERFORM add_metric_samples(ARRAY(SELECT ROW(date_trunc('minute', s.at, 'UTC'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, s.waiting, s.scheduled, s.retrying, s.running, s.dead, s.slots, s.waiting,
            coalesce(epoch_us(s.at - s.oldest_due) / 1000, 0), s.queue, 'minute')::metric_samples
        FROM unnest(states) s));
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION penstock.latencies_of(given penstock.tallies[], step text) RETURNS SETOF penstock.latency_samples
LANGUAGE sql STABLE SET search_path = penstock, pg_temp AS $$
    SELECT b.at, sum(b.jobs)::bigint, sum(b.total_ms), sum(b.squares), min(b.least_ms), max(b.most_ms), b.queue, step, b.name, b.metric,
        array_agg(b.bucket ORDER BY b.bucket), array_agg(b.jobs ORDER BY b.bucket)
    FROM (
        SELECT date_trunc(step, t.at, 'UTC') AS at, t.queue, t.name, m.metric, duration_bucket(m.ms * 1000) AS bucket,
            sum(d.jobs)::bigint AS jobs, sum(m.ms * d.jobs) AS total_ms, sum(m.ms * m.ms * d.jobs) AS squares,
            min(m.ms) AS least_ms, max(m.ms) AS most_ms
        FROM unnest(given) t CROSS JOIN LATERAL unnest(t.run_ats, t.jobs_each) d(run_at, jobs)
        CROSS JOIN LATERAL (VALUES ('wait', epoch_us(t.claimed_at - d.run_at) / 1000),
            ('processing', epoch_us(t.at - t.claimed_at) / 1000), ('total', epoch_us(t.at - d.run_at) / 1000)) m(metric, ms)
        WHERE t.outcome = 'completed' OR m.metric = 'wait'
        GROUP BY 1, t.queue, t.name, m.metric, 5) b
    GROUP BY b.at, b.queue, b.name, b.metric
$$;
-- +goose StatementEnd
COMMENT ON COLUMN penstock.latency_samples.name IS NULL;
CREATE OR REPLACE VIEW penstock.attempt_stats AS
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
